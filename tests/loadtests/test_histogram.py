from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hdrh.log import HistogramLogReader
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.summaries import made_up
from loadtests import histogram, statistics
from loadtests.errors import RecordError
from loadtests.histogram import LatencyHistogram

VALUES = st.lists(st.integers(1, 10_000_000), max_size=80)
PERCENTS = st.sampled_from([0.0, 50.0, 90.0, 95.0, 99.0, 99.9, 100.0])


def of(values: list[int]) -> LatencyHistogram:
    return LatencyHistogram.of(np.asarray(values, dtype=np.int64))


@settings(deadline=None, max_examples=25)
@given(VALUES, VALUES, VALUES)
def test_merging_parts_gives_exactly_the_histogram_of_all(
    one: list[int], two: list[int], three: list[int]
) -> None:
    whole = of(one + two + three)
    assert LatencyHistogram.merged([of(one), of(two), of(three)]) == whole
    assert LatencyHistogram.merged([of(three), of(one), of(two)]) == whole
    assert whole.count == len(one + two + three)


@settings(deadline=None, max_examples=25)
@given(VALUES)
def test_encoding_keeps_every_count(values: list[int]) -> None:
    found = of(values)
    assert LatencyHistogram.decoded(found.encoded) == found


@settings(deadline=None, max_examples=25)
@given(VALUES, PERCENTS)
def test_percentiles_are_within_a_thousandth_of_the_exact_ones(
    values: list[int], percent: float
) -> None:
    exact = statistics.percentile(np.asarray(values, dtype=np.int64), percent)
    found = of(values).percentile_us(percent)
    if exact is None:
        assert found is None
    else:
        assert found == pytest.approx(exact, rel=1e-3, abs=1)


def test_values_beyond_the_bounds_count_at_the_bounds() -> None:
    found = of([0, 2 * histogram.HIGHEST_US])
    assert found.count == 2
    assert found.percentile_us(100) == pytest.approx(histogram.HIGHEST_US, rel=1e-3)


def test_other_text_is_no_histogram() -> None:
    with pytest.raises(RecordError, match="not an encoded histogram"):
        LatencyHistogram.decoded("HISTFAAA")


def test_log_of_seconds_is_read_by_the_library_and_adds_up(tmp_path: Path) -> None:
    path = tmp_path / "latency.hlog"
    records = made_up(3_500)  # three and a half seconds
    histogram.write_log(path, records, 0, 3_500_000_000)
    whole = histogram.of_records(records)
    seconds = LatencyHistogram()
    reader = HistogramLogReader(str(path), seconds._bins)
    counts = []
    while (one := reader.get_next_interval_histogram()) is not None:
        counts.append(one.get_total_count())
        seconds._bins.add(one)
    assert len(counts) == 4
    assert seconds == whole
