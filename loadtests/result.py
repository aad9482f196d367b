"""What one load came to: its record, its windows, and whether the generator can be believed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from fixtures.target import JsonValue
from loadtests import statistics
from loadtests.errors import LoadError
from loadtests.recorder import RecordFile
from loadtests.spec import GeneratorStatus, LoadSpec
from loadtests.statistics import Lateness, Records, Series, Summary, Window

LATE_PART_OF_SLO = 0.1
"""A request is late, by the generator's fault, when sent later than this part of the SLO.

Latency counts from the intended start, so less than that cannot change a verdict by much.
"""

MAX_LATE_RATIO = 0.01
"""With a greater share of late requests the numbers are the generator's, not the server's."""


@dataclass(frozen=True, slots=True)
class Validity:
    """Whether the record can be believed, and if not, why."""

    valid: bool
    reasons: tuple[str, ...]


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

    @property
    def records(self) -> Records:
        """Every request whose intended start had come."""
        return self.file.records

    @property
    def late_after_ms(self) -> float:
        """How much later than intended a request may be sent."""
        return self.slo_ms * LATE_PART_OF_SLO

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
    def validity(self) -> Validity:
        """Whether the generator kept its schedule and its record has every request."""
        reasons = []
        if not self.file.complete:
            reasons.append("the record has no end: the generator was killed")
        missing = self.status.dispatched - len(self.records)
        if missing or not np.array_equal(
            self.records.sequence, np.arange(len(self.records), dtype=np.int64)
        ):
            reasons.append(
                f"{self.status.dispatched} requests were due, the record has {len(self.records)}"
            )
        if self.lateness.late_ratio > MAX_LATE_RATIO:
            reasons.append(
                f"{self.lateness.late_ratio:.1%} of the requests were sent more than "
                f"{self.late_after_ms:g} ms late, allowed are {MAX_LATE_RATIO:.0%}: "
                "the generator's machine is too slow or too busy"
            )
        return Validity(not reasons, tuple(reasons))

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
                "batch": self.spec.batch,
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
                "invalid_because": list(self.validity.reasons),
                "late_after_ms": self.late_after_ms,
                "late_ratio": self.lateness.late_ratio,
                "lateness_p99_us": self.lateness.p99_us,
                "lateness_max_us": self.lateness.max_us,
                "generator_cpu_share": self.status.cpu_share,
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

    def _summary(self, start_ns: int, end_ns: int) -> Summary:
        return statistics.summary(self.records, self.slo_ms, self.late_after_ms, start_ns, end_ns)
