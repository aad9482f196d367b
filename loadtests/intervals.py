"""Confidence intervals of percentiles from order statistics, without any assumed distribution.

Of n independent values the number below the true p-quantile is binomial (n, p). So the i-th
smallest lies above it with the probability of fewer than i below, and the ranks whose tails are
at most (1 - confidence) / 2 bound it: exact for every continuous distribution, and wider than
said for any other (H. A. David and H. N. Nagaraja, Order Statistics, 3rd ed., 2003, section 7.1;
J.-Y. Le Boudec, Performance Evaluation of Computer and Communication Systems, 2010, theorem 2.1).
Latencies of one run are not independent when the server queues: then the interval is too narrow,
which is why runs are compared by blocks of time (``loadtests.comparison``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from loadtests.records import Integers

PERCENTS: Final[Mapping[str, float]] = {
    "p50": 50.0,
    "p90": 90.0,
    "p95": 95.0,
    "p99": 99.0,
    "p99_9": 99.9,
}
CONFIDENCE: Final = 0.95
_TAIL_SDS: Final = 12.0
"""How far from the mean probabilities are summed up: beyond lies less than 1e-30."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A percentile with its bounds; a bound is None where there are too few values for one."""

    value: int
    low: int | None
    high: int | None


def ranks(count: int, percent: float, confidence: float = CONFIDENCE) -> tuple[int, int]:
    """Ranks, from 1, of the values that bound a percentile; 0 and ``count + 1`` are no values.

    Each tail has at most half of what the confidence leaves.
    """
    if not (0 < percent < 100 and 0 < confidence < 1):
        raise ValueError(f"found percent {percent} and confidence {confidence}")
    first, below = _binomial_cdf(count, percent / 100)
    tail = (1 - confidence) / 2
    # Rank i fails on its side with P(fewer than i below) and on the other with P(i or more).
    low = first + int(np.searchsorted(below, tail, side="right"))
    high = first + int(np.searchsorted(below, 1 - tail, side="left")) + 1
    return min(low, count), min(high, count + 1)


def interval(values: Integers, percent: float, confidence: float = CONFIDENCE) -> Interval | None:
    """The nearest-rank percentile of the values and its interval; None without values."""
    count = len(values)
    if count == 0:
        return None
    low, high = ranks(count, percent, confidence)
    rank = max(1, math.ceil(count * percent / 100 - 1e-9))
    wanted = sorted({rank - 1, max(low, 1) - 1, min(high, count) - 1})
    ordered = np.partition(values, wanted)
    return Interval(
        value=int(ordered[rank - 1]),
        low=int(ordered[low - 1]) if low >= 1 else None,
        high=int(ordered[high - 1]) if high <= count else None,
    )


def intervals(values: Integers, confidence: float = CONFIDENCE) -> Mapping[str, Interval]:
    """The usual percentiles with their intervals, by name; none without values."""
    found = {name: interval(values, one, confidence) for name, one in PERCENTS.items()}
    return {name: one for name, one in found.items() if one is not None}


def _binomial_cdf(count: int, probability: float) -> tuple[int, npt.NDArray[np.float64]]:
    """P(X <= k) for k from the first number given on; before it the probability is nil."""
    spread = _TAIL_SDS * (math.sqrt(count * probability * (1 - probability)) + 1)
    first = max(0, math.floor(count * probability - spread))
    last = min(count, math.ceil(count * probability + spread))
    steps = np.arange(first, last, dtype=np.float64)
    ratio = np.log((count - steps) / (steps + 1)) + math.log(probability / (1 - probability))
    logs = np.concatenate(([0.0], np.cumsum(ratio)))
    masses = np.exp(logs - logs.max())
    return first, np.cumsum(masses / masses.sum())
