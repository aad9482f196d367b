from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.summaries import made_up
from loadtests import statistics, validity
from loadtests.recorder import RecordFile
from loadtests.spec import GeneratorStatus

RECORDS = made_up(1000)
FILE = RecordFile(RECORDS, complete=True, metadata={})
STATUS = GeneratorStatus("done", 1, dispatched=1000, cpu_share=0.2, ceiling_per_s=2000.0)


def reasons(
    file: RecordFile = FILE,
    status: GeneratorStatus = STATUS,
    late_after_ms: float = 1.0,
    busiest_per_s: float = 1000.0,
) -> str:
    lateness = statistics.lateness(file.records, late_after_ms)
    found = validity.judge(file, status, lateness, late_after_ms, busiest_per_s)
    assert found.valid == (not found.reasons)
    assert found.word == ("valid" if found.valid else "invalid")
    return "; ".join(found.reasons)


def test_calm_generator_is_believed() -> None:
    assert reasons() == ""


@pytest.mark.parametrize(
    ("file", "status", "message"),
    [
        (replace(FILE, complete=False), STATUS, "the record has no end"),
        (FILE, replace(STATUS, dispatched=1001), "1001 requests were due, the record has 1000"),
        (FILE, replace(STATUS, cpu_share=0.95), "took 95% of a core, allowed are 90%"),
        (FILE, replace(STATUS, ceiling_per_s=1100.0), "are 91% of the 1100 requests/s"),
    ],
)
def test_each_broken_rule_is_told(file: RecordFile, status: GeneratorStatus, message: str) -> None:
    assert message in reasons(file, status)


def test_late_requests_are_held_against_the_generator() -> None:
    # Each of the made-up requests is sent 0.05 ms late.
    assert "100.0% of the requests were sent more than 0.01 ms late" in reasons(late_after_ms=0.01)


def test_ceiling_that_was_not_measured_is_no_rule() -> None:
    assert reasons(status=replace(STATUS, ceiling_per_s=0.0), busiest_per_s=1e9) == ""
