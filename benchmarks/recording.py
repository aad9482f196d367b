"""What it costs to record a request: our load record, beside other ways to keep one."""

from __future__ import annotations

import csv
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from hdrh.histogram import HdrHistogram

from benchmarks.measurement import Benchmark, Measurement
from loadtests.recorder import RecordWriter, Row
from loadtests.records import Outcome

ROWS = 100_000
ROWS_PER_FLUSH = 1_000
"""At 2,000 requests a second the generator flushes about so many at once."""

_HIGHEST_US = 60_000_000

Request: TypeAlias = tuple[int, int, int, int, int, Outcome, int, int]
"""What is known of a request, in the order of ``Row``'s fields."""


def benchmark() -> Benchmark:
    """Time and space per recorded request."""
    return Benchmark("recorder", "time and space per recorded request", _run)


def _run() -> Sequence[Measurement]:
    requests = [_request(sequence) for sequence in range(ROWS)]
    with tempfile.TemporaryDirectory(prefix="edge-bench-") as folder:
        ours, theirs = Path(folder) / "record.arrows", Path(folder) / "record.csv"
        record_s = _timed(lambda: _record(ours, requests))
        csv_s = _timed(lambda: _csv(theirs, requests))
        histogram_s = _timed(lambda: _histogram(requests))
        sizes = {path: path.stat().st_size for path in (ours, theirs)}
    durable = f"{ROWS} rows, written and fsynced {ROWS_PER_FLUSH} at a time"
    return (
        _per_row("loadtests.recorder", record_s, durable),
        _per_row("csv.writer", csv_s, durable),
        _per_row("HdrHistogram", histogram_s, f"{ROWS} values, in memory: keeps no rows"),
        _size("loadtests.recorder", sizes[ours], "ten columns in 39 bytes, Arrow stream"),
        _size("csv.writer", sizes[theirs], "eight of the ten columns as text"),
    )


def _request(sequence: int) -> Request:
    intended_ns = 10**15 + sequence * 500_000
    ended_ns = intended_ns + 2_000_000 + sequence * 7_919 % 1_000_000
    return sequence, intended_ns, intended_ns + 40_000, ended_ns, 4, Outcome.OK, 200, 512


def _record(path: Path, requests: Sequence[Request]) -> None:
    with RecordWriter(path, {}) as writer:
        for index, request in enumerate(requests, 1):
            writer.add(Row(*request))
            if index % ROWS_PER_FLUSH == 0:
                writer.flush()


def _csv(path: Path, requests: Sequence[Request]) -> None:
    with path.open("w", newline="", encoding="ascii") as file:
        writer = csv.writer(file)
        for index, request in enumerate(requests, 1):
            writer.writerow(request)
            if index % ROWS_PER_FLUSH == 0:
                file.flush()
                os.fsync(file.fileno())


def _histogram(requests: Sequence[Request]) -> None:
    histogram = HdrHistogram(1, _HIGHEST_US, 3)
    for request in requests:
        histogram.record_value((request[3] - request[1]) // 1000)


def _timed(action: Callable[[], None]) -> float:
    begin_ns = time.perf_counter_ns()
    action()
    return (time.perf_counter_ns() - begin_ns) / 1e9


def _per_row(subject: str, seconds: float, note: str) -> Measurement:
    return Measurement("recorder", "recording a request", subject, seconds / ROWS * 1e6, "us", note)


def _size(subject: str, size_bytes: int, note: str) -> Measurement:
    value = size_bytes / ROWS
    return Measurement("recorder", "space of a recorded request", subject, value, "bytes", note)
