"""When requests are to be sent: open-loop schedules, fixed before the run."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from loadtests.errors import SpecError
from loadtests.records import Int64s

NS_PER_S = 1_000_000_000

Arrival: TypeAlias = Literal["constant", "poisson"]


def constant(rate_per_s: float, duration_s: float) -> Int64s:
    """Offsets in nanoseconds of evenly spaced requests, the first at 0, all before the end."""
    _check(rate_per_s, duration_s)
    count = int(np.ceil(round(rate_per_s * duration_s, 6)))
    offsets = np.arange(count, dtype=np.float64) * (NS_PER_S / rate_per_s)
    return _before_end(np.rint(offsets).astype(np.int64), duration_s)


def poisson(rate_per_s: float, duration_s: float, seed: int) -> Int64s:
    """Offsets in nanoseconds of independent users at a mean rate; the same for the same seed."""
    _check(rate_per_s, duration_s)
    generator = np.random.default_rng(seed)
    count = int(generator.poisson(rate_per_s * duration_s))
    # Given their number, the arrivals of a Poisson process are uniform over the time.
    offsets = np.sort(generator.uniform(0.0, duration_s * NS_PER_S, count))
    return _before_end(np.floor(offsets).astype(np.int64), duration_s)


def schedule(arrival: Arrival, rate_per_s: float, duration_s: float, seed: int) -> Int64s:
    """Offsets in nanoseconds from the start of the run, ascending."""
    if arrival == "constant":
        return constant(rate_per_s, duration_s)
    if arrival == "poisson":
        return poisson(rate_per_s, duration_s, seed)
    raise SpecError(f"arrival: found {arrival!r}, expected 'constant' or 'poisson'")


def _check(rate_per_s: float, duration_s: float) -> None:
    for name, value in (("rate_per_s", rate_per_s), ("duration_s", duration_s)):
        if not (np.isfinite(value) and value > 0):
            raise SpecError(f"{name}: found {value!r}, expected a number above 0")


def _before_end(offsets: Int64s, duration_s: float) -> Int64s:
    return offsets[offsets < duration_s * NS_PER_S]
