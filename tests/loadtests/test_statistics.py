from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.paths import CHECKOUT
from loadtests import statistics
from loadtests.statistics import NEVER, Outcome, Records

MS = 1_000_000
S = 1_000_000_000
SLO_MS = 100.0
LATE_MS = 10.0


def records(rows: list[tuple[int, int, int, Outcome]]) -> Records:
    """Rows of intended, started, ended (ms) and outcome."""
    columns = np.array(
        [
            (number, *(NEVER if ms == NEVER else ms * MS for ms in times), outcome)
            for number, (*times, outcome) in enumerate(rows)
        ],
        dtype=np.int64,
    ).reshape(-1, 5)
    ones = np.ones(len(columns), dtype=np.int64)
    return Records(
        columns[:, 0],
        columns[:, 1],
        columns[:, 2],
        columns[:, 3],
        ones,
        columns[:, 4],
        ones,
        ones,
        ones,
        ones,
    )


@st.composite
def runs(draw: st.DrawFn) -> Records:
    """Records of up to ten seconds, with every outcome."""
    rows = []
    for intended in sorted(draw(st.lists(st.integers(0, 9_999), max_size=60))):
        outcome = draw(st.sampled_from(Outcome))
        started = intended + draw(st.integers(0, 30))
        ended = started + draw(st.integers(0, 400))
        if outcome is Outcome.DROPPED:
            started = ended = NEVER
        rows.append((intended, started, ended, outcome))
    return records(rows)


OK = Outcome.OK
CALM = records([(ms, ms, ms + 5, OK) for ms in range(0, 10_000, 100)])


def test_calm_run() -> None:
    found = statistics.summary(CALM, SLO_MS, LATE_MS, 0, 10 * S)
    assert (found.offered, found.good, found.slow, found.failed) == (100, 100, 0, 0)
    assert (found.p50_us, found.p99_9_us, found.max_us) == (5000, 5000, 5000)
    assert found.good_ratio == 1.0
    assert found.max_outage_s == pytest.approx(0.1)


def test_latency_counts_from_the_intended_start() -> None:
    run = records([(0, 80, 120, OK), (10, 10, 20, OK)])
    found = statistics.summary(run, SLO_MS, LATE_MS, 0, S)
    assert found.max_us == 120_000
    assert (found.good, found.slow, found.late) == (1, 1, 1)


def test_kinds_of_failure_are_counted_and_have_no_latency() -> None:
    run = records(
        [
            (0, 0, 300, Outcome.TIMEOUT),
            (1, 1, 2, Outcome.CONNECTION),
            (2, NEVER, NEVER, Outcome.DROPPED),
            (3, 3, 13, OK),
        ]
    )
    found = statistics.summary(run, SLO_MS, LATE_MS, 0, S)
    assert found.failed_by_kind == {"timeout": 1, "connection": 1, "dropped": 1}
    assert found.dropped == 1
    assert found.max_us == 10_000


@given(runs(), st.integers(0, 10), st.integers(0, 10))
def test_every_request_of_a_window_is_counted_once(run: Records, a: int, b: int) -> None:
    start, end = sorted((a * S, b * S))
    found = statistics.summary(run, SLO_MS, LATE_MS, start, end)
    inside = (run.intended_ns >= start) & (run.intended_ns < end)
    assert found.offered == inside.sum()
    assert found.good + found.slow + found.failed == found.offered
    assert sum(found.failed_by_kind.values()) == found.failed


@given(runs())
def test_percentiles_are_seen_values_in_order(run: Records) -> None:
    found = statistics.summary(run, SLO_MS, LATE_MS, 0, 10 * S)
    ladder = [
        found.p50_us,
        found.p90_us,
        found.p95_us,
        found.p99_us,
        found.p99_9_us,
        found.max_us,
    ]
    seen = set(statistics.latencies_us(run).tolist())
    if not seen:
        assert ladder == [None] * 6
        return
    numbers = [value for value in ladder if value is not None]
    assert numbers == sorted(numbers)
    assert set(numbers) <= seen
    assert numbers[-1] == max(seen)
    below = sum(value <= numbers[0] for value in statistics.latencies_us(run).tolist())
    assert 2 * below >= len(statistics.latencies_us(run))


@given(runs())
def test_series_adds_up_to_the_summary(run: Records) -> None:
    series = statistics.series(run, SLO_MS, 0, 10 * S)
    found = statistics.summary(run, SLO_MS, LATE_MS, 0, 10 * S)
    assert series.second == tuple(range(10))
    assert sum(series.offered) == found.offered
    assert sum(series.good) == found.good
    assert sum(series.failed) == found.failed
    highest = [value for value in series.max_us if value is not None]
    assert max(highest, default=None) == found.max_us
    assert all(
        (value is None) == (offered == failed)
        for value, offered, failed in zip(series.p50_us, series.offered, series.failed, strict=True)
    )


def test_series_of_part_seconds_ends_with_the_part() -> None:
    series = statistics.series(CALM, SLO_MS, 0, 2 * S + 500 * MS)
    assert series.offered == (10, 10, 5)


def _outage_by_walking(run: Records, start: int, end: int) -> float:
    good = statistics.good(run, SLO_MS)
    last, longest = start, 0
    for ended in sorted(run.ended_ns[good].tolist()):
        if start <= ended <= end:
            longest, last = max(longest, ended - last), ended
    return max(longest, end - last) / S


@given(runs(), st.integers(0, 10), st.integers(0, 10))
def test_longest_outage_is_what_walking_finds(run: Records, a: int, b: int) -> None:
    start, end = sorted((a * S, b * S))
    found = statistics.max_outage_s(run, SLO_MS, start, end)
    assert found == pytest.approx(_outage_by_walking(run, start, end))
    assert 0 <= found <= (end - start) / S


def test_edges_of_the_window_belong_to_the_outage() -> None:
    run = records([(4000, 4000, 4010, OK)])
    assert statistics.max_outage_s(run, SLO_MS, 0, 10 * S) == pytest.approx(5.99)
    assert statistics.max_outage_s(run, SLO_MS, 5 * S, 7 * S) == pytest.approx(2.0)


def test_slow_answers_do_not_end_an_outage() -> None:
    run = records([(0, 0, 5, OK), (500, 500, 900, OK), (2000, 2000, 2005, OK)])
    assert statistics.max_outage_s(run, SLO_MS, 0, 2 * S + 5 * MS) == pytest.approx(2.0)


def test_recovery_is_the_first_answer_that_stays_good() -> None:
    down = [(ms, ms, ms + 1, Outcome.CONNECTION) for ms in range(0, 3000, 100)]
    flicker = [(3000, 3000, 3010, OK), (3100, 3100, 3101, Outcome.CONNECTION)]
    steady = [(ms, ms, ms + 10, OK) for ms in range(3200, 6000, 100)]
    run = records(down + flicker + steady)
    assert statistics.recovery_s(run, SLO_MS, 1000 * MS) == pytest.approx(2.21)
    # A shorter patience takes the flicker for recovery.
    assert statistics.recovery_s(run, SLO_MS, 1000 * MS, steady_s=0.05) == pytest.approx(2.01)


def test_run_that_never_recovers_has_no_recovery_time() -> None:
    run = records([(0, 0, 5, OK), (1000, 1000, 1001, Outcome.CONNECTION)])
    assert statistics.recovery_s(run, SLO_MS, 500 * MS) is None


@given(runs(), st.integers(0, 10_000))
def test_recovery_is_at_a_good_answer_and_nothing_bad_follows(run: Records, healed: int) -> None:
    found = statistics.recovery_s(run, SLO_MS, healed * MS, steady_s=0.5)
    if found is None:
        return
    at = healed * MS + round(found * S)
    good = statistics.good(run, SLO_MS)
    assert at in run.ended_ns[good]
    bad = np.where(run.ended_ns == NEVER, run.intended_ns, run.ended_ns)[~good]
    assert not ((bad > at) & (bad <= at + S // 2)).any()


def test_lateness_looks_only_at_what_was_sent() -> None:
    run = records([(0, 0, 1, OK), (10, 40, 41, OK), (20, NEVER, NEVER, Outcome.DROPPED)])
    found = statistics.lateness(run, LATE_MS)
    assert found.max_us == 30_000
    assert found.late_ratio == 0.5


def test_columns_must_have_one_length() -> None:
    one, two = np.zeros(1, dtype=np.int64), np.zeros(2, dtype=np.int64)
    with pytest.raises(ValueError, match="of one length"):
        Records(one, two, one, one, one, one, one, one, one, one)


def test_importing_it_loads_neither_a_network_nor_a_file_library() -> None:
    heavy = ("gevent", "locust", "pyarrow", "grpc", "tritonclient", "pytest", "fixtures")
    code = f"import sys, loadtests.statistics; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
