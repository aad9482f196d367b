"""The whole of an open-loop run before it begins: when, what and how much each request is.

Made in the process that starts the load, written beside the record (``schedule.npz``), and only
carried out by the generator: nothing about it depends on what the server does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from loadtests.arrivals import MAX_REQUESTS, NS_PER_S, busiest_second
from loadtests.errors import SpecError
from loadtests.records import Int64s, Integers

_COLUMNS = ("offset_ns", "target", "batch")
_TRACE_COLUMNS = ("time_s", "batch")
MAX_BATCH = 2**16 - 1


@dataclass(frozen=True, slots=True)
class Schedule:
    """One entry per request, ascending in time; ``target`` is an index into the load's targets."""

    offset_ns: Int64s
    target: Integers
    batch: Integers

    def __len__(self) -> int:
        return len(self.offset_ns)

    @property
    def busiest_per_s(self) -> int:
        """The most requests that are due within one second."""
        return busiest_second(self.offset_ns)

    def batches(self, target: int) -> tuple[int, ...]:
        """The different batch sizes of one target."""
        return tuple(np.unique(self.batch[self.target == target]).tolist())

    def write(self, path: Path) -> None:
        """Write it, as plain arrays."""
        columns = (self.offset_ns, self.target, self.batch)
        np.savez_compressed(path, **dict(zip(_COLUMNS, columns, strict=True)), allow_pickle=False)

    @classmethod
    def read(cls, path: Path) -> Schedule:
        """Read what ``write`` wrote; SpecError if it is something else."""
        try:
            with np.load(path, allow_pickle=False) as file:
                return cls(*(file[name] for name in _COLUMNS))
        except (OSError, ValueError, KeyError) as error:
            raise SpecError(f"{path}: not a schedule: {error}") from error


def planned(
    offset_ns: Int64s, batches: Sequence[int], weights: Sequence[float], seed: int
) -> Schedule:
    """Arrivals shared out among targets by weight, each target with its batch; seeded."""
    if len(batches) != len(weights) or not weights or min(weights) <= 0:
        raise SpecError(f"weights: found {list(weights)}, expected one above 0 for each target")
    shares = np.asarray(weights, dtype=np.float64) / sum(weights)
    generator = np.random.default_rng([seed, 1])
    target = (
        generator.choice(len(weights), size=len(offset_ns), p=shares)
        if len(weights) > 1
        else np.zeros(len(offset_ns))
    ).astype(np.uint8)
    return Schedule(offset_ns, target, np.asarray(batches, dtype=np.uint16)[target])


def replayed(path: Path, speed: float = 1.0) -> Schedule:
    """A recorded trace: a CSV or Parquet file with ``time_s`` and ``batch``; for one target.

    Times count from the first one and are divided by ``speed``; rows need not be in order.

    Raises:
        SpecError: the file cannot be read, or holds what cannot be offered; the row is named.
    """
    if not (np.isfinite(speed) and speed > 0):
        raise SpecError(f"speed: found {speed!r}, expected a number above 0")
    table = _table(path)
    missing = [name for name in _TRACE_COLUMNS if name not in table.column_names]
    if missing:
        raise SpecError(
            f"{path}: found columns {table.column_names}, expected {list(_TRACE_COLUMNS)}"
        )
    if not 0 < table.num_rows < MAX_REQUESTS:
        raise SpecError(f"{path}: found {table.num_rows} rows, expected one at least")
    try:
        times = table.column("time_s").cast(pa.float64()).to_numpy()
        batch = table.column("batch").cast(pa.int64()).to_numpy()
    except pa.ArrowException as error:
        raise SpecError(f"{path}: {error}; expected numbers in {_TRACE_COLUMNS}") from error
    _refuse(path, "time_s", times, ~np.isfinite(times), "a finite number")
    _refuse(path, "batch", batch, (batch < 1) | (batch > MAX_BATCH), f"1 to {MAX_BATCH}")
    order = np.argsort(times, kind="stable")
    offsets = np.rint((times[order] - times.min()) / speed * NS_PER_S).astype(np.int64)
    return Schedule(offsets, np.zeros(len(offsets), np.uint8), batch[order].astype(np.uint16))


def _table(path: Path) -> pa.Table:
    readers = {".csv": pyarrow.csv.read_csv, ".parquet": pyarrow.parquet.read_table}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise SpecError(f"{path}: found a trace of kind {path.suffix!r}, expected .csv or .parquet")
    try:
        return reader(path)
    except (OSError, pa.ArrowException) as error:
        raise SpecError(f"{path}: not a readable trace: {error}") from error


def _refuse(path: Path, name: str, values: Integers, wrong: Integers, expected: str) -> None:
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise SpecError(f"{path}: row {row + 1}: {name}: found {values[row]}, expected {expected}")
