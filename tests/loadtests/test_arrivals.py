from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.arrivals import constant, poisson, schedule
from loadtests.errors import SpecError

RATES = st.floats(0.5, 500, allow_nan=False)
DURATIONS = st.floats(0.05, 20, allow_nan=False)


@given(RATES, DURATIONS)
def test_constant_schedule_keeps_its_rate_within_its_time(rate: float, duration: float) -> None:
    offsets = constant(rate, duration)
    assert offsets[0] == 0
    assert offsets[-1] < duration * 1e9
    assert abs(len(offsets) - rate * duration) <= 1
    gaps = np.diff(offsets)
    assert (abs(gaps - 1e9 / rate) <= 1).all()


@given(RATES, DURATIONS, st.integers(0, 2**32))
def test_poisson_schedule_is_ascending_within_its_time_and_repeatable(
    rate: float, duration: float, seed: int
) -> None:
    offsets = poisson(rate, duration, seed)
    assert (np.diff(offsets) >= 0).all()
    assert ((offsets >= 0) & (offsets < duration * 1e9)).all()
    assert (offsets == poisson(rate, duration, seed)).all()


def test_poisson_gaps_are_exponential() -> None:
    gaps = np.diff(poisson(1000.0, 100.0, seed=7)) / 1e6
    # Mean and standard deviation of an exponential distribution are the same: here 1 ms.
    assert gaps.mean() == pytest.approx(1.0, rel=0.02)
    assert gaps.std() == pytest.approx(1.0, rel=0.02)


def test_seeds_differ() -> None:
    assert list(poisson(50.0, 2.0, 1)) != list(poisson(50.0, 2.0, 2))


def test_profile_rate_for_a_minute() -> None:
    assert len(schedule("constant", 40.0, 60.0, 0)) == 2400


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_rate_is_refused(rate: float) -> None:
    with pytest.raises(SpecError, match="rate_per_s: found"):
        constant(rate, 1.0)
