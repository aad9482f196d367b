"""The columns of a load record, as plain arrays: one row per intended request."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

NEVER = -1
"""In a time column: it has not happened (a request that was never sent, or never ended)."""

Int64s = npt.NDArray[np.int64]
Integers = npt.NDArray[Any]
"""Whole numbers of whatever width the column needs."""

Bools = npt.NDArray[np.bool_]

ROW = np.dtype(
    [
        ("sequence", "<u4"),
        ("intended_ns", "<i8"),
        ("started_ns", "<i8"),
        ("ended_ns", "<i8"),
        ("batch", "<u2"),
        ("outcome", "u1"),
        ("status", "<u2"),
        ("response_bytes", "<u4"),
        ("target", "u1"),
        ("worker", "u1"),
    ]
)
"""The columns and their widths: 39 bytes a request."""


class Outcome(enum.IntEnum):
    """What became of one request. The numbers are part of the file format and are never reused."""

    OK = 0
    WRONG_ANSWER = 1
    TIMEOUT = 2
    CONNECTION = 3
    SERVER_ERROR = 4
    MALFORMED = 5
    DROPPED = 6
    ABORTED = 7

    @property
    def label(self) -> str:
        """The name used in reports."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Records:
    """Columns of equal length, ordered by worker and sequence; times are monotonic nanoseconds.

    ``intended_ns`` is when the schedule wanted the request sent, ``started_ns`` when it was,
    ``ended_ns`` when its answer (or failure) was there; ``batch`` is items per request, ``outcome``
    an ``Outcome``, ``status`` the HTTP or gRPC status (0 if none came), ``response_bytes`` the
    size of the answer's body, ``target`` which of the load's models, ``worker`` which of its
    generators.
    """

    sequence: Integers
    intended_ns: Int64s
    started_ns: Int64s
    ended_ns: Int64s
    batch: Integers
    outcome: Integers
    status: Integers
    response_bytes: Integers
    target: Integers
    worker: Integers

    def __post_init__(self) -> None:
        """Refuse columns of different lengths."""
        lengths = {column.name: len(getattr(self, column.name)) for column in fields(self)}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns of a record must be of one length, found {lengths}")

    def __len__(self) -> int:
        return len(self.sequence)

    def select(self, rows: Bools) -> Records:
        """The rows for which ``rows`` is true."""
        return Records(*(getattr(self, column.name)[rows] for column in fields(self)))

    def select_order(self, order: Int64s) -> Records:
        """The rows in the given order."""
        return Records(*(getattr(self, column.name)[order] for column in fields(self)))

    def between(self, start_ns: int, end_ns: int) -> Records:
        """The requests intended at or after ``start_ns`` and before ``end_ns``."""
        return self.select((self.intended_ns >= start_ns) & (self.intended_ns < end_ns))

    def ordered(self) -> Records:
        """The rows by worker, and within a worker by sequence."""
        return self.select_order(np.lexsort((self.sequence, self.worker)))


def merged(parts: Sequence[Records]) -> Records:
    """The records of several generators of one run as one; times must be of one clock.

    Raises:
        ValueError: two parts hold the same request of the same worker.
    """
    if not parts:
        raise ValueError("found no records, expected one at least")
    whole = Records(
        *(
            np.concatenate([getattr(part, column.name) for part in parts])
            for column in fields(Records)
        )
    ).ordered()
    same = (np.diff(whole.sequence.astype(np.int64)) == 0) & (np.diff(whole.worker) == 0)
    if same.any():
        first = int(np.flatnonzero(same)[0])
        raise ValueError(
            f"request {whole.sequence[first]} of worker {whole.worker[first]} is in two records"
        )
    return whole
