from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.summaries import made_up
from loadtests import statistics, verdict
from loadtests.records import Outcome, Records
from loadtests.validity import Validity
from loadtests.verdict import Slo

S = 1_000_000_000
VALID = Validity(True, ())
CALM = replace(made_up(10_000), outcome=np.zeros(10_000, dtype=np.int64))  # ten seconds
SLO = Slo(percentile=99.0, latency_ms=50.0, failed_ratio=0.0, minimum_s=10.0, minimum_requests=9000)


def judge(records: Records = CALM, slo: Slo = SLO, validity: Validity = VALID) -> verdict.Verdict:
    return verdict.judge(records, 0, 10 * S, validity, slo)


def with_outcomes(kind: Outcome, first: int, last: int) -> Records:
    outcome = CALM.outcome.copy()
    outcome[first:last] = int(kind)
    return replace(CALM, outcome=outcome)


def test_calm_load_keeps_every_promise() -> None:
    found = judge()
    assert found.held
    assert [promise.kept for promise in found.promises] == [True] * 4


def test_stall_breaks_the_latency_and_says_by_how_much_and_when() -> None:
    ended = CALM.ended_ns.copy()
    ended[4000:4300] = CALM.intended_ns[4000:4300] + 2 * S
    found = judge(replace(CALM, ended_ns=ended))
    assert found.word == "broken"
    [broken] = [promise for promise in found.promises if not promise.kept]
    assert str(broken) == (
        "broken: p99 of all requests within 50 ms; seen: 2000.000 ms, 1950.000 ms beyond; "
        "first 4.0 s after the start, worst in second 4: 300 of 1000 requests"
    )


def test_failed_requests_count_as_never_answered() -> None:
    found = judge(with_outcomes(Outcome.CONNECTION, 2000, 2200), replace(SLO, failed_ratio=0.5))
    assert found.word == "broken"
    assert "seen: never: too many requests failed" in str(found)
    # One percent may be beyond.
    few = judge(with_outcomes(Outcome.CONNECTION, 2000, 2090), replace(SLO, failed_ratio=0.5))
    assert few.held


def test_dropped_requests_are_failures() -> None:
    found = judge(with_outcomes(Outcome.DROPPED, 7500, 7501))
    assert "at most 0.00% of the requests fail; seen: 1 of 10000 (0.01%)" in str(found)
    assert "first 7.5 s after the start" in str(found)


def test_too_short_and_too_few() -> None:
    found = judge(slo=replace(SLO, minimum_s=600, minimum_requests=24_576))
    assert "broken: a run of at least 600 s; seen: 10.0 s" in str(found)
    assert "broken: at least 24576 requests; seen: 10000" in str(found)


def test_generator_that_was_measured_makes_it_invalid_whatever_was_seen() -> None:
    found = judge(validity=Validity(False, ("too late",)))
    assert found.word == "invalid"
    assert not found.held
    assert "invalid: too late" in str(found)


def test_nothing_offered_is_nothing_kept() -> None:
    empty = CALM.select(np.zeros(len(CALM), dtype=np.bool_))
    assert "no request was offered" in str(judge(empty))
    assert not judge(empty).held


@given(st.integers(1, 99), st.integers(0, 10_000), st.floats(0.1, 100.0))
def test_latency_promise_is_about_the_share_of_all_requests(
    percent: int, failures: int, promised_ms: float
) -> None:
    records = with_outcomes(Outcome.TIMEOUT, 0, failures)
    slo = Slo(float(percent), promised_ms, failed_ratio=1.0)
    share = np.count_nonzero(statistics.good(records, promised_ms)) / len(records)
    assert judge(records, slo).held == (share * 100 >= percent - 1e-9)
