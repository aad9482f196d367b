"""What a timeline shows, in seconds and milliseconds: plain data for both ways to draw it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from reports.model import Fault, Load, Results

_NS_PER_S = 1e9
_US_PER_MS = 1e3

Points = tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Shade:
    """A stretch of time in which a fault was in force; ``open_end`` when it was not seen to end."""

    label: str
    start_s: float
    end_s: float
    open_end: bool


@dataclass(frozen=True, slots=True)
class Timeline:
    """One load, second by second. Latencies are None in seconds without any right answer."""

    name: str
    seconds: tuple[float, ...]
    p50_ms: Points
    p99_ms: Points
    max_ms: Points
    offered: Points
    good: Points
    failed: Points
    shades: tuple[Shade, ...]

    @property
    def length_s(self) -> float:
        """How long the load took."""
        return self.seconds[-1] + 1.0 if self.seconds else 0.0

    @property
    def described(self) -> str:
        """The timeline in a sentence, for who does not see it."""
        text = f"{self.length_s:g} seconds of load {self.name}"
        if not self.shades:
            return f"{text}, without a fault"
        faults = ", ".join(
            f"{shade.label} from second {shade.start_s:.0f} to {shade.end_s:.0f}"
            for shade in self.shades
        )
        return f"{text}; {faults}"


def timeline(load: Load, results: Results) -> Timeline:
    """The timeline of one load, with the faults of its test or on its node."""
    series = load.series
    length_s = series.second[-1] + 1.0 if series.second else 0.0
    shades = [
        shade
        for fault in results.faults
        if fault.test == load.test or fault.target.split("/")[0] == load.node
        for shade in _shades(fault, series.start_ns, length_s)
    ]
    return Timeline(
        load.name,
        tuple(float(second) for second in series.second),
        _ms(series.p50_us),
        _ms(series.p99_us),
        _ms(series.max_us),
        tuple(float(one) for one in series.offered),
        tuple(float(one) for one in series.good),
        tuple(float(one) for one in series.failed),
        tuple(sorted(shades, key=lambda shade: shade.start_s)),
    )


def _ms(values: Sequence[int | float | None]) -> Points:
    return tuple(None if value is None else value / _US_PER_MS for value in values)


def _shades(fault: Fault, start_ns: int, length_s: float) -> Iterator[Shade]:
    if fault.injected_ns is None:
        return
    begin_s = (fault.injected_ns - start_ns) / _NS_PER_S
    healed = fault.healed_ns is not None
    end_s = (fault.healed_ns - start_ns) / _NS_PER_S if fault.healed_ns else length_s
    label = f"{fault.fault} on {fault.target}"
    phases = list(_phases(fault.plan)) or [(0.0, end_s - begin_s)]
    for phase_start_s, phase_s in phases:
        first = begin_s + phase_start_s
        # What the plan still had in store when the fault was healed did not happen.
        last = min(first + phase_s, end_s)
        if len(phases) == 1:
            last = end_s
        if last > 0 and first < length_s and last > first:
            yield Shade(label, max(0.0, first), min(length_s, last), not healed)


def _phases(plan: Mapping[str, object]) -> Iterator[tuple[float, float]]:
    """The cuts of a link's plan, from the injection; other plans have none."""
    phases = plan.get("phases")
    if not isinstance(phases, Sequence):
        return
    for phase in phases:
        if isinstance(phase, Mapping):
            start_s, duration_s = phase.get("start_s"), phase.get("duration_s")
            if isinstance(start_s, int | float) and isinstance(duration_s, int | float):
                yield float(start_s), float(duration_s)
