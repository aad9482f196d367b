"""Whether one run was slower than another: a test, an effect size, and intervals.

The effect size is Cliff's delta: how much more often a latency of B is above one of A than below
(from -1 to 1; the Mann-Whitney U statistic in other words). The test asks how often chance alone
gives so large a delta. As requests of one moment share their fate, they are not shuffled one by
one: whole blocks of time are, between the runs (a permutation test; p by B. Phipson and
G. K. Smyth, Permutation p-values should never be zero, 2010). Magnitudes are named after
J. Romano et al., Exploring methods for evaluating group differences, 2006. Intervals of the
changes of percentiles are of a block bootstrap (H. R. Kuensch, The jackknife and the bootstrap for
general stationary observations, Annals of Statistics 17, 1989), on latencies rounded to 0.2 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from loadtests.records import Int64s, Integers

ALPHA: Final = 0.01
SHUFFLES: Final = 2000
MAX_BLOCKS: Final = 60
MINIMUM_BLOCKS: Final = 8
"""With eight blocks each the least possible p is 1 / 6435 * 2: far below ALPHA."""

Magnitude = Literal["negligible", "small", "medium", "large"]
_BOUNDS: Final[tuple[tuple[float, Magnitude], ...]] = (
    (0.147, "negligible"),
    (0.33, "small"),
    (0.474, "medium"),
)
_NS_PER_S: Final = 1_000_000_000
_RESOLUTION: Final = 0.002
_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sample:
    """Latencies of one run in microseconds, and when each was due, in nanoseconds."""

    latency_us: Integers
    intended_ns: Int64s

    def __len__(self) -> int:
        return len(self.latency_us)


@dataclass(frozen=True, slots=True)
class Change:
    """A percentile in both runs, and the change from A to B as a part of A, with 95 % bounds."""

    percent: float
    a_us: int
    b_us: int
    ratio: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of it; ``delta`` above zero means that B was slower."""

    delta: float
    magnitude: Magnitude
    p_value: float
    changes: tuple[Change, ...]

    @property
    def word(self) -> Literal["slower", "faster", "no difference shown"]:
        """Of B beside A: only what is both not by chance and not negligible is a difference."""
        if self.p_value >= ALPHA or self.magnitude == "negligible":
            return "no difference shown"
        return "slower" if self.delta > 0 else "faster"


def compare(a: Sample, b: Sample, seed: int = 0) -> Comparison:
    """Compare two runs; the same for the same seed.

    Raises:
        ValueError: a run is too short to be compared.
    """
    blocks_a, blocks_b = blocks(a), blocks(b)
    for name, found in (("A", blocks_a), ("B", blocks_b)):
        count = int(found.max(initial=-1)) + 1
        if count < MINIMUM_BLOCKS:
            raise ValueError(
                f"run {name}: found right answers in {count} blocks of time, "
                f"expected {MINIMUM_BLOCKS} at least (a block is a second or more)"
            )
    generator = np.random.default_rng(seed)
    delta, p_value = _test(a, b, blocks_a, blocks_b, generator)
    changes = tuple(
        _change(a, b, blocks_a, blocks_b, percent, generator) for percent in (50.0, 99.0)
    )
    return Comparison(delta, magnitude(delta), p_value, changes)


def magnitude(delta: float) -> Magnitude:
    """The word for an effect size."""
    return next((word for bound, word in _BOUNDS if abs(delta) < bound), "large")


def blocks(sample: Sample) -> Int64s:
    """The block of time that each request belongs to, numbered without gaps."""
    if not len(sample):
        return np.zeros(0, dtype=np.int64)
    since_ns = sample.intended_ns - sample.intended_ns.min()
    length_ns = max(_NS_PER_S, int(since_ns.max()) // MAX_BLOCKS + 1)
    found: Int64s = np.unique(since_ns // length_ns, return_inverse=True)[1].astype(np.int64)
    return found


def cliffs_delta(a_us: Integers, b_us: Integers) -> float:
    """P(b > a) - P(b < a) over all pairs."""
    rank_sum = float(_ranks(np.concatenate((a_us, b_us)))[len(a_us) :].sum())
    return _delta(rank_sum, float(len(b_us)), float(len(a_us)))


def _delta(rank_sum: float, count: float, others: float) -> float:
    return 2 * (rank_sum - count * (count + 1) / 2) / (count * others) - 1


def _ranks(values: Integers) -> _Floats:
    """Ranks from 1; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    found: _Floats = (last - (counts - 1) / 2)[inverse]
    return found


def _test(
    a: Sample, b: Sample, blocks_a: Int64s, blocks_b: Int64s, generator: np.random.Generator
) -> tuple[float, float]:
    ranks = _ranks(np.concatenate((a.latency_us, b.latency_us)))
    count_a = int(blocks_a.max()) + 1
    block = np.concatenate((blocks_a, blocks_b + count_a))
    sums, counts = np.bincount(block, ranks), np.bincount(block).astype(np.float64)
    observed = _delta(float(sums[count_a:].sum()), float(len(b)), float(len(a)))
    beyond = 0
    for _ in range(SHUFFLES):
        chosen = generator.permutation(len(sums))[count_a:]
        count = float(counts[chosen].sum())
        shuffled = _delta(float(sums[chosen].sum()), count, float(len(ranks)) - count)
        beyond += abs(shuffled) >= abs(observed) - 1e-12
    return observed, (1 + beyond) / (1 + SHUFFLES)


def _change(
    a: Sample,
    b: Sample,
    blocks_a: Int64s,
    blocks_b: Int64s,
    percent: float,
    generator: np.random.Generator,
) -> Change:
    a_us, b_us = (_percentile(one.latency_us, percent) for one in (a, b))
    resampled = _resampled(b, blocks_b, percent, generator) / _resampled(
        a, blocks_a, percent, generator
    )
    low, high = np.percentile(resampled - 1, [2.5, 97.5])
    return Change(percent, a_us, b_us, b_us / max(a_us, 1) - 1, float(low), float(high))


def _percentile(values: Integers, percent: float) -> int:
    return int(np.percentile(values, percent, method="inverted_cdf"))


def _resampled(
    sample: Sample, block: Int64s, percent: float, generator: np.random.Generator
) -> _Floats:
    """The percentile of each of many runs made of this one's blocks, drawn with replacement."""
    logs = np.rint(np.log(np.maximum(sample.latency_us, 1)) / _RESOLUTION).astype(np.int64)
    bins, inverse = np.unique(logs, return_inverse=True)
    count = int(block.max()) + 1
    table = np.zeros((count, len(bins)))
    np.add.at(table, (block, inverse), 1)
    draws = generator.multinomial(count, np.full(count, 1 / count), size=SHUFFLES // 4)
    cumulated = np.cumsum(draws @ table, axis=1)
    wanted = cumulated[:, -1:] * percent / 100
    found: _Floats = np.exp(bins[(cumulated < wanted).sum(axis=1)] * _RESOLUTION)
    return found
