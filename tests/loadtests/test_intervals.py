from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests import intervals, statistics

COUNTS = st.integers(1, 400)
PERCENTS = st.sampled_from([1.0, 25.0, 50.0, 90.0, 95.0, 99.0, 99.9])
CONFIDENCES = st.sampled_from([0.5, 0.9, 0.95, 0.99])


def tail(count: int, probability: float, below: int) -> float:
    """P(fewer than ``below`` of ``count``), by adding up all of the terms."""
    return math.fsum(
        math.comb(count, k) * probability**k * (1 - probability) ** (count - k)
        for k in range(below)
    )


@given(COUNTS, PERCENTS, CONFIDENCES)
def test_each_tail_has_at_most_its_share_and_no_narrower_rank_would(
    count: int, percent: float, confidence: float
) -> None:
    low, high = intervals.ranks(count, percent, confidence)
    share = (1 - confidence) / 2
    p = percent / 100
    assert 0 <= low < high <= count + 1
    if low >= 1:
        assert tail(count, p, low) <= share + 1e-12
    if low < count:
        assert tail(count, p, low + 1) > share - 1e-12
    if high <= count:
        assert 1 - tail(count, p, high) <= share + 1e-12
        assert 1 - tail(count, p, high - 1) > share - 1e-12


@given(st.lists(st.integers(1, 10**7), min_size=1, max_size=300), PERCENTS)
def test_bounds_are_seen_values_around_the_nearest_rank(values: list[int], percent: float) -> None:
    array = np.asarray(values, dtype=np.int64)
    found = intervals.interval(array, percent)
    assert found is not None
    assert found.value == statistics.percentile(array, percent)
    assert found.low is None or (found.low <= found.value and found.low in values)
    assert found.high is None or (found.high >= found.value and found.high in values)


def test_interval_covers_the_true_percentile_as_often_as_it_says() -> None:
    generator = np.random.default_rng(3)
    true_us = -math.log(1 - 0.99) * 10_000
    covered = 0
    for _ in range(1000):
        values = generator.exponential(10_000, 2000).astype(np.int64)
        found = intervals.interval(values, 99.0)
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= true_us <= found.high
    # 95 % and what equal tails of whole ranks add; three standard deviations below.
    assert 930 <= covered <= 985


def test_few_values_have_no_upper_bound_of_a_high_percentile() -> None:
    found = intervals.intervals(np.arange(1, 101, dtype=np.int64))
    assert found["p50"] == intervals.Interval(50, 40, 61)
    assert found["p99"].high is None
    assert intervals.intervals(np.zeros(0, dtype=np.int64)) == {}


def test_millions_of_values_are_no_trouble() -> None:
    low, high = intervals.ranks(50_000_000, 99.0)
    # The normal approximation, which is good for so many.
    spread = 1.959964 * math.sqrt(50_000_000 * 0.99 * 0.01)
    assert low == pytest.approx(49_500_000 - spread, abs=3)
    assert high == pytest.approx(49_500_000 + spread, abs=3)


@pytest.mark.parametrize(("percent", "confidence"), [(0.0, 0.95), (100.0, 0.95), (50.0, 1.0)])
def test_what_has_no_interval_is_refused(percent: float, confidence: float) -> None:
    with pytest.raises(ValueError, match="found percent"):
        intervals.ranks(10, percent, confidence)
