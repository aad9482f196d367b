from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests import arrivals
from loadtests.arrivals import Segment, Shape, constant, poisson
from loadtests.errors import SpecError

RATES = st.floats(0.5, 500, allow_nan=False)
DURATIONS = st.floats(0.05, 20, allow_nan=False)
SEEDS = st.integers(0, 2**32)
SEGMENTS = st.builds(Segment, st.floats(0.5, 10), st.floats(0, 200), st.floats(0, 200))
SHAPES = st.lists(SEGMENTS, min_size=1, max_size=5).map(tuple)


def expected_until(shape: Shape, time_s: float) -> float:
    """How many requests a shape expects until a time, by adding up trapezes."""
    count = 0.0
    for segment in shape:
        part_s = min(time_s, segment.duration_s)
        slope = (segment.to_per_s - segment.from_per_s) / segment.duration_s
        count += part_s * (segment.from_per_s + slope * part_s / 2)
        time_s -= part_s
    return count


@given(RATES, DURATIONS)
def test_constant_schedule_keeps_its_rate_within_its_time(rate: float, duration: float) -> None:
    offsets = constant(rate, duration)
    assert offsets[0] == 0
    assert offsets[-1] < duration * 1e9
    assert abs(len(offsets) - rate * duration) <= 1
    gaps = np.diff(offsets)
    assert (abs(gaps - 1e9 / rate) <= 1).all()


@given(RATES, DURATIONS, SEEDS)
def test_poisson_schedule_is_ascending_within_its_time_and_repeatable(
    rate: float, duration: float, seed: int
) -> None:
    offsets = poisson(rate, duration, seed)
    assert (np.diff(offsets) >= 0).all()
    assert ((offsets >= 0) & (offsets < duration * 1e9)).all()
    assert (offsets == poisson(rate, duration, seed)).all()


@given(SHAPES)
def test_even_arrivals_follow_any_shape(shape: Shape) -> None:
    expected = expected_until(shape, arrivals.duration_s(shape))
    if expected == 0:
        with pytest.raises(SpecError, match="found 0 requests"):
            arrivals.arrivals(shape, "even", 0)
        return
    offsets = arrivals.arrivals(shape, "even", 0)
    assert (np.diff(offsets) >= 0).all()
    assert abs(len(offsets) - expected) <= 1
    # Request k is due when k requests are expected; a nanosecond is what rounding may cost.
    for number in range(0, len(offsets), max(1, len(offsets) // 20)):
        assert expected_until(shape, offsets[number] / 1e9) == pytest.approx(number, abs=1e-3)


@given(SHAPES, SEEDS)
def test_poisson_arrivals_of_any_shape_are_repeatable_and_none_where_the_rate_is_zero(
    shape: Shape, seed: int
) -> None:
    quiet = Segment(1.0, 0.0, 0.0)
    if expected_until(shape, arrivals.duration_s(shape)) == 0:
        return
    offsets = arrivals.arrivals((quiet, *shape, quiet), "poisson", seed)
    assert (offsets == arrivals.arrivals((quiet, *shape, quiet), "poisson", seed)).all()
    assert (np.diff(offsets) >= 0).all()
    assert (offsets >= 1e9).all()
    # The last rounding may put a request onto the end itself.
    assert (offsets <= (arrivals.duration_s(shape) + 1) * 1e9 + 1).all()


def test_poisson_gaps_are_exponential() -> None:
    gaps = np.diff(poisson(1000.0, 100.0, seed=7)) / 1e6
    # Mean and standard deviation of an exponential distribution are the same: here 1 ms.
    assert gaps.mean() == pytest.approx(1.0, rel=0.02)
    assert gaps.std() == pytest.approx(1.0, rel=0.02)


def test_poisson_ramp_has_its_mean_in_every_part() -> None:
    offsets = arrivals.arrivals(arrivals.ramp(0.0, 1000.0, 100.0), "poisson", 11)
    halves = np.histogram(offsets, bins=[0, 50e9, 100e9])[0]
    # 12,500 and 37,500 are expected, give or take four standard deviations of a Poisson count.
    assert abs(halves[0] - 12_500) < 4 * 12_500**0.5
    assert abs(halves[1] - 37_500) < 4 * 37_500**0.5


def test_bursts_come_at_the_end_of_each_period() -> None:
    shape = arrivals.bursts(10.0, 100.0, period_s=10.0, burst_s=2.0, duration_s=25.0)
    counts = np.histogram(arrivals.arrivals(shape, "even", 0), np.arange(26) * 1e9)[0]
    assert arrivals.duration_s(shape) == 25.0
    assert list(counts[[8, 9, 18, 19]]) == [100] * 4
    assert list(counts[:8]) == list(counts[10:18]) == [10] * 8


def test_steps_and_points() -> None:
    assert [one.to_per_s for one in arrivals.steps([1, 2, 4], 5.0)] == [1, 2, 4]
    day = arrivals.through([0, 10, 4], 60.0)
    assert [(one.duration_s, one.from_per_s, one.to_per_s) for one in day] == [
        (30.0, 0, 10),
        (30.0, 10, 4),
    ]


def test_seeds_differ() -> None:
    assert list(poisson(50.0, 2.0, 1)) != list(poisson(50.0, 2.0, 2))


def test_profile_rate_for_a_minute() -> None:
    assert len(constant(40.0, 60.0)) == 2400


def test_busiest_second_is_found_wherever_it_begins() -> None:
    offsets = np.array([0, 900, 1500, 1600, 1700, 2499, 2500], dtype=np.int64) * 1_000_000
    assert arrivals.busiest_second(offsets) == 4
    assert arrivals.busiest_second(offsets[::-1]) == 4
    assert arrivals.busiest_second(offsets[:0]) == 0


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_rate_is_refused(rate: float) -> None:
    with pytest.raises(SpecError, match="rate_per_s: found"):
        constant(rate, 1.0)


def test_impossible_shapes_are_refused() -> None:
    with pytest.raises(SpecError, match="from_per_s: found -1"):
        arrivals.ramp(-1.0, 5.0, 1.0)
    with pytest.raises(SpecError, match="burst_s: found 3, expected less than period_s, 3"):
        arrivals.bursts(1.0, 2.0, period_s=3.0, burst_s=3.0, duration_s=9.0)
    with pytest.raises(SpecError, match=r"found 4.*e\+1. requests"):
        arrivals.arrivals(arrivals.steady(4e9, 1e9), "even", 0)
    with pytest.raises(SpecError, match="points: found 1"):
        arrivals.through([1.0], 5.0)
