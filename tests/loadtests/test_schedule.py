from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from loadtests.arrivals import constant
from loadtests.errors import SpecError
from loadtests.schedule import Schedule, planned, replayed


def trace(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def test_targets_are_shared_out_by_weight_and_repeatably() -> None:
    offsets = constant(1000.0, 10.0)
    schedule = planned(offsets, [1, 8], [3.0, 1.0], seed=5)
    shares = np.bincount(schedule.target) / len(schedule)
    assert shares == pytest.approx([0.75, 0.25], abs=0.02)
    assert (schedule.batch == np.where(schedule.target == 0, 1, 8)).all()
    assert schedule.batches(1) == (8,)
    again = planned(offsets, [1, 8], [3.0, 1.0], seed=5)
    assert (again.target == schedule.target).all()
    assert (planned(offsets, [1, 8], [3.0, 1.0], seed=6).target != schedule.target).any()


def test_written_schedule_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "schedule.npz"
    schedule = planned(constant(50.0, 2.0), [4], [1.0], 0)
    schedule.write(path)
    read = Schedule.read(path)
    assert (read.offset_ns == schedule.offset_ns).all()
    assert (read.batch == 4).all()
    assert read.busiest_per_s == 50
    path.write_bytes(b"PK")
    with pytest.raises(SpecError, match="not a schedule"):
        Schedule.read(path)


def test_trace_is_replayed_in_order_and_at_a_speed(tmp_path: Path) -> None:
    path = trace(tmp_path / "trace.csv", "time_s,batch\n103.5,2\n100,1\n101,16\n")
    assert list(replayed(path).offset_ns) == [0, 1_000_000_000, 3_500_000_000]
    assert list(replayed(path).batch) == [1, 16, 2]
    assert replayed(path).batches(0) == (1, 2, 16)
    assert list(replayed(path, speed=10.0).offset_ns) == [0, 100_000_000, 350_000_000]


def test_parquet_trace_is_the_same(tmp_path: Path) -> None:
    csv = replayed(trace(tmp_path / "trace.csv", "time_s,batch\n0.25,2\n0.75,1\n"))
    table = pa.table({"time_s": [0.25, 0.75], "batch": [2, 1], "camera": ["a", "b"]})
    pyarrow.parquet.write_table(table, tmp_path / "trace.parquet")
    parquet = replayed(tmp_path / "trace.parquet")
    assert (parquet.offset_ns == csv.offset_ns).all()
    assert (parquet.batch == csv.batch).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time_s,batch\n", "found 0 rows"),
        ("time_s,size\n1,1\n", r"found columns \['time_s', 'size'\], expected"),
        ("time_s,batch\n1,1\n2,0\n", "row 2: batch: found 0, expected 1 to 65535"),
        ("time_s,batch\nnan,1\n", "row 1: time_s: found nan, expected a finite number"),
        ("time_s,batch\n1,many\n", "expected numbers"),
        ("time_s,batch\n1,1\n2\n", "not a readable trace"),
    ],
)
def test_bad_trace_is_refused_with_its_row(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        replayed(trace(tmp_path / "trace.csv", text))


def test_other_kinds_of_file_and_missing_ones_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"found a trace of kind '.txt', expected .csv or .parquet"):
        replayed(trace(tmp_path / "trace.txt", "1"))
    with pytest.raises(SpecError, match="not a readable trace"):
        replayed(tmp_path / "absent.parquet")
    with pytest.raises(SpecError, match="speed: found 0"):
        replayed(tmp_path / "absent.csv", speed=0)


def test_weights_must_be_above_zero() -> None:
    with pytest.raises(SpecError, match="weights: found"):
        planned(constant(1.0, 1.0), [1, 1], [1.0, 0.0], 0)
