"""What one load came to: its record, its windows, and whether the generator can be believed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from fixtures.target import JsonValue
from loadtests import histogram, intervals, statistics, steady, validity, verdict
from loadtests.arrivals import busiest_second
from loadtests.errors import LoadError
from loadtests.intervals import Interval
from loadtests.recorder import RecordFile
from loadtests.spec import GeneratorStatus, LoadSpec
from loadtests.statistics import Lateness, Records, Series, Summary, Window
from loadtests.steady import SteadyState
from loadtests.validity import Validity
from loadtests.verdict import Slo, Verdict


@dataclass(frozen=True)
class LoadResult:
    """One finished load. ``slo_ms`` is what good answers are judged by."""

    spec: LoadSpec
    node: str
    requirement: str | None
    slo_ms: float
    status: GeneratorStatus
    file: RecordFile
    record_file: Path
    windows: tuple[Window, ...]
    slo: Slo | None = None

    @property
    def records(self) -> Records:
        """Every request whose intended start had come."""
        return self.file.records

    @property
    def late_after_ms(self) -> float:
        """How much later than intended a request may be sent."""
        return self.slo_ms * validity.LATE_PART_OF_SLO

    @cached_property
    def summary(self) -> Summary:
        """The whole run."""
        return self._summary(self.status.start_ns, self.status.end_ns)

    @cached_property
    def series(self) -> Series:
        """The run second by second."""
        return statistics.series(
            self.records, self.slo_ms, self.status.start_ns, self.status.end_ns
        )

    @cached_property
    def lateness(self) -> Lateness:
        """How far the generator was behind its schedule."""
        return statistics.lateness(self.records, self.late_after_ms)

    @cached_property
    def busiest_per_s(self) -> int:
        """The most requests that were due within one second."""
        return busiest_second(self.records.intended_ns)

    @cached_property
    def validity(self) -> Validity:
        """Whether the server was measured, and not the generator."""
        return validity.judge(
            self.file, self.status, self.lateness, self.late_after_ms, self.busiest_per_s
        )

    @cached_property
    def intervals(self) -> Mapping[str, Interval]:
        """Percentiles of the right answers, each with its 95 % interval."""
        return intervals.intervals(statistics.latencies_us(self.records))

    @cached_property
    def steady_state(self) -> SteadyState:
        """Whether the whole seconds of the run were steady."""
        whole_s = (self.status.end_ns - self.status.start_ns) // statistics.NS_PER_S
        return steady.detect(self.series.p50_us[:whole_s])

    @cached_property
    def verdict(self) -> Verdict:
        """Whether the load kept the promises of its plan.

        Raises:
            LoadError: the plan has none.
        """
        if self.slo is None:
            raise LoadError(f"load {self.spec.name}: its plan promises nothing")
        return verdict.judge(
            self.records, self.status.start_ns, self.status.end_ns, self.validity, self.slo
        )

    def window(self, name: str) -> Summary:
        """One window of the run, as marked while it went on."""
        for window in self.windows:
            if window.name == name:
                return self._summary(window.start_ns, window.end_ns)
        names = ", ".join(window.name for window in self.windows) or "none"
        raise LoadError(f"load {self.spec.name}: no window {name!r}; there are: {names}")

    def recovery_s(self, healed_ns: int) -> float | None:
        """Seconds from ``healed_ns`` until answers were good again and stayed so."""
        return statistics.recovery_s(self.records, self.slo_ms, healed_ns)

    def payload(self, report_dir: Path) -> Mapping[str, JsonValue]:
        """The result as evidence of kind ``load``."""
        return {
            "name": self.spec.name,
            "requirement": self.requirement,
            "node": self.node,
            "model": self.spec.model,
            "protocol": self.spec.protocol,
            "spec": {
                "rate_per_s": self.spec.rate_per_s,
                "batch": self.spec.targets[0].batch,
                "targets": [
                    {"model": one.model, "batch": one.batch, "weight": one.weight}
                    for one in self.spec.targets
                ],
                "loop": "open" if self.spec.closed is None else "closed",
                "duration_s": self.spec.duration_s,
                "arrival": self.spec.arrival,
                "seed": self.spec.seed,
                "timeout_s": self.spec.timeout_s,
                "in_flight_limit": self.spec.in_flight_limit,
                "slo_ms": self.slo_ms,
            },
            "summary": {
                **asdict(self.summary),
                "valid": self.validity.valid,
                "validity": self.validity.word,
                "invalid_because": list(self.validity.reasons),
                "late_after_ms": self.late_after_ms,
                "late_ratio": self.lateness.late_ratio,
                "dropped_ratio": self.summary.dropped / max(1, self.summary.offered),
                "lateness_p99_us": self.lateness.p99_us,
                "lateness_max_us": self.lateness.max_us,
                "generator_cpu_share": self.status.cpu_share,
                "generator_cpu_us_per_request": self.status.cpu_us_per_request,
                "generator_ceiling_per_s": self.status.ceiling_per_s,
                "generator_ceiling_cpu_us": self.status.ceiling_cpu_us,
                "busiest_per_s": self.busiest_per_s,
                "ceiling_share": validity.ceiling_share(self.status, self.busiest_per_s),
                "confidence_95": {
                    name: {"low_us": one.low, "high_us": one.high}
                    for name, one in self.intervals.items()
                },
                **self._judged(),
                "steady_state": asdict(self.steady_state),
                "latency_histogram": histogram.of_records(self.records).encoded,
                "first_errors": dict(self.status.first_errors or {}),
            },
            "series": {
                name: list(value) if isinstance(value, tuple) else value
                for name, value in asdict(self.series).items()
            },
            "windows": [
                {
                    "name": window.name,
                    "start_ns": window.start_ns,
                    "end_ns": window.end_ns,
                    "summary": asdict(self._summary(window.start_ns, window.end_ns)),
                }
                for window in self.windows
            ],
            "record_file": str(self.record_file.relative_to(report_dir)),
        }

    def _judged(self) -> dict[str, JsonValue]:
        if self.slo is None:
            return {}
        return {
            "verdict": self.verdict.word,
            "promises": [asdict(promise) for promise in self.verdict.promises],
        }

    def _summary(self, start_ns: int, end_ns: int) -> Summary:
        return statistics.summary(self.records, self.slo_ms, self.late_after_ms, start_ns, end_ns)
