from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests import steady

NOISE = np.random.default_rng(1).normal(0.0, 50.0, 600)


def test_flat_run_is_steady_from_its_beginning() -> None:
    found = steady.detect(list(5000.0 + NOISE[:120]))
    assert found.verdict == "steady"
    assert found.from_s is not None
    assert found.from_s <= 60
    assert found.drift == pytest.approx(0.0, abs=0.02)


def test_warm_up_is_cut_off() -> None:
    warm_up = 5000.0 + 20_000 * np.exp(-np.arange(120) / 8.0)
    found = steady.detect(list(warm_up + NOISE[:120]))
    assert found.verdict == "steady"
    assert found.from_s is not None
    assert 20 <= found.from_s <= 60


def test_growing_latency_is_not_steady() -> None:
    found = steady.detect(list(5000.0 + 20.0 * np.arange(300) + NOISE[:300]))
    assert found.verdict == "not steady"


def test_slow_drift_beyond_the_bound_is_told_with_its_interval() -> None:
    # So much noise that leaving out the beginning would not help.
    values = 5000.0 + 4.0 * np.arange(300) + 14 * NOISE[:300]
    found = steady.detect(list(values))
    assert found.verdict == "not steady"
    assert found.drift is not None
    assert found.drift_low is not None
    assert found.drift_low > 0
    assert found.drift > steady.MAX_DRIFT
    assert "allowed are 10%" in found.reason


def test_silence_is_not_steady_and_shortness_is_told() -> None:
    found = steady.detect([5000.0] * 40 + [None] + [5000.0] * 40)
    assert (found.verdict, found.reason) == (
        "not steady",
        "1 s without a right answer, the first 40 s in",
    )
    assert steady.detect([5000.0] * 29).verdict == "too short"


@given(
    st.lists(st.floats(1e3, 1e6), min_size=30, max_size=120),
    st.floats(0.1, 1000),
)
def test_unit_does_not_matter(values: list[float], factor: float) -> None:
    one, other = steady.detect(values), steady.detect([value * factor for value in values])
    if one.drift is not None and abs(abs(one.drift) - steady.MAX_DRIFT) > 1e-6:
        assert (one.from_s, one.verdict) == (other.from_s, other.verdict)


@given(st.floats(-100, 100), st.floats(-1e4, 1e4), st.integers(10, 700))
def test_slope_of_a_line_is_found(slope: float, begin: float, length: int) -> None:
    line = begin + slope * np.arange(length, dtype=np.float64)
    found, low, high = steady.slope_interval(line)
    assert found == pytest.approx(slope, abs=1e-6)
    assert low <= found <= high
