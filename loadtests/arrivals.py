"""When requests are to be sent: open-loop arrivals as pure functions, fixed before the run.

A *shape* says how the rate goes over the time, piece by piece and linearly within each piece;
steady rates, ramps, steps, bursts and days are shapes. Arrivals follow a shape either *even*
(request k is due when the expected number of requests reaches k) or *poisson* (independent users).
Poisson arrivals of a changing rate are a unit-rate process whose time is stretched by the inverse
of the expected number (E. Cinlar, Introduction to Stochastic Processes, 1975, section 4.7).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from loadtests.errors import SpecError
from loadtests.records import Int64s

NS_PER_S = 1_000_000_000
MAX_REQUESTS = 2**31
"""More cannot be numbered in a record, with room to spare; so many at once are a mistake."""

Spacing: TypeAlias = Literal["even", "poisson"]
Arrival: TypeAlias = Literal["constant", "poisson"]
_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a shape: the rate goes linearly from one to the other."""

    duration_s: float
    from_per_s: float
    to_per_s: float

    def __post_init__(self) -> None:
        """Refuse what no load can have."""
        _check("duration_s", self.duration_s)
        for name in ("from_per_s", "to_per_s"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value >= 0):
                raise SpecError(f"{name}: found {value!r}, expected a number of at least 0")

    @property
    def requests(self) -> float:
        """How many requests are expected in it."""
        return (self.from_per_s + self.to_per_s) / 2 * self.duration_s


Shape: TypeAlias = tuple[Segment, ...]


def steady(rate_per_s: float, duration_s: float) -> Shape:
    """One rate all the time."""
    _check("rate_per_s", rate_per_s)
    return (Segment(duration_s, rate_per_s, rate_per_s),)


def ramp(from_per_s: float, to_per_s: float, duration_s: float) -> Shape:
    """A rate that goes evenly from one to the other."""
    return (Segment(duration_s, from_per_s, to_per_s),)


def steps(rates_per_s: Sequence[float], step_s: float) -> Shape:
    """One rate after the other, each for the same time."""
    return tuple(Segment(step_s, rate, rate) for rate in rates_per_s)


def bursts(
    base_per_s: float, burst_per_s: float, period_s: float, burst_s: float, duration_s: float
) -> Shape:
    """A base rate, and for ``burst_s`` at the end of each ``period_s`` another one."""
    for name, value in (("period_s", period_s), ("burst_s", burst_s), ("duration_s", duration_s)):
        _check(name, value)
    if burst_s >= period_s:
        raise SpecError(f"burst_s: found {burst_s:g}, expected less than period_s, {period_s:g}")
    pieces: list[Segment] = []
    left_s = duration_s
    while left_s > 1e-9:
        for length_s, rate in ((period_s - burst_s, base_per_s), (burst_s, burst_per_s)):
            if left_s > 1e-9:
                pieces.append(Segment(min(length_s, left_s), rate, rate))
                left_s -= length_s
    return tuple(pieces)


def through(points_per_s: Sequence[float], duration_s: float) -> Shape:
    """A rate that goes linearly from each point to the next, the points evenly over the time."""
    if len(points_per_s) < 2:
        raise SpecError(f"points: found {len(points_per_s)}, expected two at least")
    piece_s = duration_s / (len(points_per_s) - 1)
    return tuple(Segment(piece_s, one, next_one) for one, next_one in pairwise(points_per_s))


def duration_s(shape: Shape) -> float:
    """How long a shape is."""
    return sum(segment.duration_s for segment in shape)


def arrivals(shape: Shape, spacing: Spacing, seed: int) -> Int64s:
    """Offsets in nanoseconds from the start of the run, ascending; the same for the same seed.

    Raises:
        SpecError: the shape has no request at all, or more than can be counted.
    """
    expected = sum(segment.requests for segment in shape)
    if not 0 < expected < MAX_REQUESTS:
        raise SpecError(
            f"arrivals: found {expected:g} requests in {duration_s(shape):g} s, "
            f"expected more than none and fewer than {MAX_REQUESTS}"
        )
    if spacing == "even":
        # Rounded, so that 40 per second for 60 s are 2400 whatever the last bit says.
        due = np.arange(int(np.ceil(round(expected, 6))), dtype=np.float64)
    elif spacing == "poisson":
        generator = np.random.default_rng(seed)
        # Given their number, the arrivals of a Poisson process are uniform over its time.
        due = np.sort(generator.uniform(0.0, expected, int(generator.poisson(expected))))
    else:
        raise SpecError(f"spacing: found {spacing!r}, expected 'even' or 'poisson'")
    offsets = _when_expected(shape, due)
    return offsets[offsets < duration_s(shape) * NS_PER_S]


def constant(rate_per_s: float, duration_s: float) -> Int64s:
    """Offsets in nanoseconds of evenly spaced requests, the first at 0, all before the end."""
    return arrivals(steady(rate_per_s, duration_s), "even", 0)


def poisson(rate_per_s: float, duration_s: float, seed: int) -> Int64s:
    """Offsets in nanoseconds of independent users at a mean rate; the same for the same seed."""
    return arrivals(steady(rate_per_s, duration_s), "poisson", seed)


def busiest_second(offsets_ns: Int64s) -> int:
    """The most requests that are due within any one second, which begins with a request."""
    if len(offsets_ns) == 0:
        return 0
    times = np.sort(offsets_ns)
    until = np.searchsorted(times, times + NS_PER_S, side="left")
    return int(np.max(until - np.arange(len(times))))


def _when_expected(shape: Shape, due: _Floats) -> Int64s:
    """When the expected number of requests reaches each of ``due`` (ascending)."""
    offsets = np.empty(len(due), dtype=np.int64)
    begin_s, begin_count, first = 0.0, 0.0, 0
    for segment in shape:
        end_count = begin_count + segment.requests
        last = int(np.searchsorted(due, end_count, side="left"))
        inside = due[first:last] - begin_count
        slope = (segment.to_per_s - segment.from_per_s) / segment.duration_s
        # The root of rate*t + slope/2*t^2 = count, in the form that is stable for a small slope.
        root = np.sqrt(np.maximum(segment.from_per_s**2 + 2 * slope * inside, 0.0))
        divisor = segment.from_per_s + root
        time_s = np.divide(2 * inside, divisor, out=np.zeros_like(inside), where=divisor > 0)
        offsets[first:last] = np.rint((begin_s + time_s) * NS_PER_S).astype(np.int64)
        begin_s, begin_count, first = begin_s + segment.duration_s, end_count, last
    # What rounding puts at the very end; the caller cuts at the end of the shape.
    offsets[first:] = np.int64(np.ceil(begin_s * NS_PER_S))
    return offsets


def _check(name: str, value: float) -> None:
    if not (np.isfinite(value) and value > 0):
        raise SpecError(f"{name}: found {value!r}, expected a number above 0")
