from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtests import recorder
from loadtests.errors import RecordError
from loadtests.recorder import RecordWriter, Row
from loadtests.records import NEVER, Outcome, merged


def row(sequence: int, outcome: Outcome = Outcome.OK) -> Row:
    sent = outcome is not Outcome.DROPPED
    intended_ns = 1_000_000 * sequence
    return Row(
        sequence=sequence,
        intended_ns=intended_ns,
        started_ns=intended_ns + 10 if sent else NEVER,
        ended_ns=intended_ns + 500 if sent else NEVER,
        batch=4,
        outcome=outcome,
        status=200 if sent else 0,
        response_bytes=99 if sent else 0,
    )


def test_what_is_written_is_read_by_sequence(tmp_path: Path) -> None:
    path = tmp_path / "record.arrows"
    with RecordWriter(path, {"load": "one"}) as writer:
        writer.add(row(2))
        writer.add(row(0))
        writer.flush()
        writer.add(row(1, Outcome.DROPPED))
    read = recorder.read(path)
    assert read.complete
    assert read.metadata["load"] == "one"
    assert list(read.records.sequence) == [0, 1, 2]
    assert list(read.records.outcome) == [Outcome.OK, Outcome.DROPPED, Outcome.OK]
    assert list(read.records.started_ns) == [10, NEVER, 2_000_010]
    assert list(read.records.response_bytes) == [99, 0, 99]


def test_flushed_rows_are_on_disk_while_the_writer_is_open(tmp_path: Path) -> None:
    path = tmp_path / "record.arrows"
    with RecordWriter(path, {}) as writer:
        assert not recorder.read(path).complete
        assert len(recorder.read(path).records) == 0
        writer.add(row(0))
        writer.flush()
        writer.add(row(1))
        assert list(recorder.read(path).records.sequence) == [0]
    assert list(recorder.read(path).records.sequence) == [0, 1]


def test_any_reader_of_arrow_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "record.arrows"
    with RecordWriter(path, {}) as writer:
        writer.add(row(0))
    table = pa.ipc.open_stream(path).read_all()
    assert table.column("intended_ns").to_pylist() == [0]
    assert b"0=ok" in table.schema.metadata[b"outcomes"]


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 10_000))
def test_truncated_at_any_byte_gives_whole_batches_or_says_so(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    path = tmp_path_factory.mktemp("cut") / "record.arrows"
    with RecordWriter(path, {}) as writer:
        header = path.stat().st_size
        for sequence in range(9):
            writer.add(row(sequence))
            if sequence % 3 == 2:
                writer.flush()
    data = path.read_bytes()
    kept = data[: min(cut, len(data))]
    path.write_bytes(kept)
    try:
        read = recorder.read(path)
    except RecordError:
        read = None
    if read is None:
        assert len(kept) < header
        return
    assert list(read.records.sequence) == list(range(len(read.records)))
    assert len(read.records) % 3 == 0
    assert read.complete == (len(kept) == len(data))


def test_a_row_takes_at_most_forty_bytes_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "record.arrows"
    rows = 10_000
    with RecordWriter(path, {}) as writer:
        for sequence in range(rows):
            writer.add(row(sequence))
            if sequence % 1000 == 999:
                writer.flush()
    assert path.stat().st_size <= 40 * rows


def test_extremes_of_every_column_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "record.arrows"
    row = Row(2**32 - 1, 2**62, -1, 2**62 + 1, 65535, Outcome.ABORTED, 65535, 2**32 - 1, 255, 255)
    with RecordWriter(path, {}) as writer:
        writer.add(row)
    records = recorder.read(path).records
    assert [int(getattr(records, name)[0]) for name in Row._fields] == list(row)


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    with RecordWriter(tmp_path / "record.arrows", {}) as writer:
        with pytest.raises(RecordError, match="batch=65536"):
            writer.add(row(0)._replace(batch=65536))
        assert not writer.take()


def test_records_of_several_workers_are_merged_by_worker(tmp_path: Path) -> None:
    parts = []
    for worker in (1, 0):
        path = tmp_path / f"{worker}.arrows"
        with RecordWriter(path, {}) as writer:
            for sequence in (1, 0):
                writer.add(row(sequence)._replace(worker=worker))
        parts.append(recorder.read(path).records)
    whole = merged(parts)
    assert list(zip(whole.worker, whole.sequence, strict=True)) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    with pytest.raises(ValueError, match="request 0 of worker 1 is in two records"):
        merged([parts[0], parts[0]])


def test_another_file_is_refused_with_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "other.arrows"
    with pa.OSFile(str(path), "wb") as file:
        table = pa.table({"x": [1]})
        with pa.ipc.new_stream(file, table.schema) as stream:
            stream.write_table(table)
    with pytest.raises(RecordError, match=r"found format None with columns \['x'\]"):
        recorder.read(path)
    path.write_text("hello")
    with pytest.raises(RecordError, match="not a load record"):
        recorder.read(path)
