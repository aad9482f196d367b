"""How long it takes to reduce a long record to what a report shows."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.measurement import Benchmark, Measurement
from loadtests import statistics
from loadtests.records import Int64s, Outcome, Records

ROWS = 1_000_000
RATE_PER_S = 1_000
SLO_MS = 50.0
LATE_AFTER_MS = 5.0


def benchmark() -> Benchmark:
    """Summary, series and outage of a million requests."""
    return Benchmark("statistics", f"reducing a record of {ROWS} rows", _run)


def _run() -> Sequence[Measurement]:
    records = made_up(ROWS)
    end_ns = ROWS * (10**9 // RATE_PER_S)
    works: Sequence[tuple[str, Callable[[], object]]] = (
        (
            "summary (counts, percentiles, outage)",
            lambda: statistics.summary(records, SLO_MS, LATE_AFTER_MS, 0, end_ns),
        ),
        ("series, second by second", lambda: statistics.series(records, SLO_MS, 0, end_ns)),
        ("longest outage alone", lambda: statistics.max_outage_s(records, SLO_MS, 0, end_ns)),
    )
    note = f"{ROWS / RATE_PER_S:.0f} s at {RATE_PER_S} requests/s"
    return tuple(
        Measurement("statistics", what, "loadtests.statistics", _seconds(work) * 1000, "ms", note)
        for what, work in works
    )


def made_up(rows: int) -> Records:
    """A record of ``rows`` requests at an even rate; one in a thousand failed by a time-out."""
    generator = np.random.default_rng(0)
    sequence: Int64s = np.arange(rows, dtype=np.int64)
    intended = sequence * (10**9 // RATE_PER_S)
    latency = generator.lognormal(mean=15.0, sigma=0.4, size=rows).astype(np.int64)
    failed = generator.random(rows) < 0.001
    outcome = np.where(failed, int(Outcome.TIMEOUT), int(Outcome.OK)).astype(np.int64)
    return Records(
        sequence=sequence,
        intended_ns=intended,
        started_ns=intended + 50_000,
        ended_ns=intended + latency,
        batch=np.full(rows, 4, dtype=np.int64),
        outcome=outcome,
        status=np.full(rows, 200, dtype=np.int64),
        response_bytes=np.full(rows, 512, dtype=np.int64),
        target=np.zeros(rows, dtype=np.int64),
        worker=np.zeros(rows, dtype=np.int64),
    )


def _seconds(work: Callable[[], object]) -> float:
    begin_ns = time.perf_counter_ns()
    work()
    return (time.perf_counter_ns() - begin_ns) / 1e9
