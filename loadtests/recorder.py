"""The load record on disk: an Arrow IPC stream, one row per intended request.

A row is packed into 39 bytes when it is added, so that nothing but those bytes is kept until they
are written. Rows are written in batches and each batch is flushed and fsynced, so a kill loses at
most what was not yet flushed (the generator flushes twice a second). A batch costs some 700 bytes
beside its rows. The reader takes a file with a truncated end and says that it is incomplete.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, NamedTuple, Self

import numpy as np
import pyarrow as pa

from loadtests.errors import RecordError
from loadtests.records import ROW, Outcome, Records

FORMAT: Final = "edge-conformance-load/2"
_END_OF_STREAM: Final = b"\xff\xff\xff\xff\x00\x00\x00\x00"
_COLUMNS: Final = tuple(ROW.names or ())
_FIELDS: Final = [
    pa.field(name, pa.from_numpy_dtype(ROW[name]), nullable=False) for name in _COLUMNS
]
# The same bytes as ROW: little-endian, without padding.
_PACKED: Final = struct.Struct("<IqqqHBHIBB")


class Row(NamedTuple):
    """One intended request; the fields are those of ``Records``."""

    sequence: int
    intended_ns: int
    started_ns: int
    ended_ns: int
    batch: int
    outcome: int
    status: int
    response_bytes: int
    target: int = 0
    worker: int = 0


@dataclass(frozen=True, slots=True)
class RecordFile:
    """What was read of a record: its rows by sequence, and whether its end is there."""

    records: Records
    complete: bool
    metadata: Mapping[str, str]


class RecordWriter:
    """Writes a record. Rows are added cheaply; ``flush`` makes those added so far durable.

    ``add`` and ``take`` belong to the thread that generates the load; ``write`` may run in
    another thread, one call at a time, so that a slow disk does not delay requests.
    """

    def __init__(self, path: Path, metadata: Mapping[str, str]) -> None:
        self._rows = bytearray()
        outcomes = ",".join(f"{kind.value}={kind.label}" for kind in Outcome)
        self._schema = pa.schema(
            _FIELDS, metadata={"format": FORMAT, "outcomes": outcomes, **metadata}
        )
        self._file: BinaryIO = path.open("wb")
        self._stream = pa.ipc.new_stream(self._file, self._schema)
        # Arrow holds the schema back until the first batch; an empty one makes this a record now.
        self._stream.write_batch(_batch(b"", self._schema))
        self._sync()

    def add(self, row: Row) -> None:
        """Keep a row for the next flush.

        Raises:
            RecordError: a value does not fit into its column.
        """
        try:
            self._rows += _PACKED.pack(*row)
        except struct.error as error:
            raise RecordError(f"{row} does not fit into a record: {error}") from error

    def take(self) -> bytes:
        """Take the rows added since the last time, packed, to hand them to ``write``."""
        rows, self._rows = self._rows, bytearray()
        return bytes(rows)

    def write(self, rows: bytes) -> None:
        """Write packed rows as one batch and make them durable."""
        if rows:
            self._stream.write_batch(_batch(rows, self._schema))
            self._sync()

    def flush(self) -> None:
        """Write and make durable what was added so far."""
        self.write(self.take())

    def close(self) -> None:
        """Flush, and write the end of the stream by which a reader knows that all is there."""
        if self._file.closed:
            return
        self.flush()
        self._stream.close()
        self._sync()
        self._file.close()

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _batch(rows: bytes, schema: pa.Schema) -> pa.RecordBatch:
    table = np.frombuffer(rows, ROW)
    return pa.record_batch(
        [pa.array(np.ascontiguousarray(table[name])) for name in _COLUMNS], schema=schema
    )


def read(path: Path) -> RecordFile:
    """Read a record, also one whose writer was killed.

    Raises:
        RecordError: the file is not a load record, or not even its beginning is there.
    """
    data = path.read_bytes()
    try:
        stream = pa.ipc.open_stream(pa.BufferReader(data))
    except (pa.ArrowInvalid, OSError) as error:
        raise RecordError(f"{path}: not a load record ({len(data)} bytes): {error}") from error
    metadata = {
        key.decode(): value.decode() for key, value in (stream.schema.metadata or {}).items()
    }
    if metadata.get("format") != FORMAT or tuple(stream.schema.names) != _COLUMNS:
        raise RecordError(
            f"{path}: found format {metadata.get('format')!r} with columns {stream.schema.names}, "
            f"expected {FORMAT!r} with {list(_COLUMNS)}"
        )
    batches: list[pa.RecordBatch] = []
    truncated = False
    while True:
        try:
            batches.append(stream.read_next_batch())
        except StopIteration:
            break
        except (pa.ArrowInvalid, OSError):
            # The writer was killed in the middle of a batch: what stands before it is whole.
            truncated = True
            break
    table = pa.Table.from_batches(batches, schema=stream.schema)
    return RecordFile(
        records=Records(*(table.column(name).to_numpy() for name in _COLUMNS)).ordered(),
        complete=not truncated and data.endswith(_END_OF_STREAM),
        metadata=metadata,
    )
