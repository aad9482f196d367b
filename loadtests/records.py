"""The columns of a load record, as plain arrays: one row per intended request."""

from __future__ import annotations

import enum
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

NEVER = -1
"""In a time column: it has not happened (a request that was never sent, or never ended)."""

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


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
    """Columns of equal length, ordered by ``sequence``; times are monotonic nanoseconds.

    ``intended_ns`` is when the schedule wanted the request sent, ``started_ns`` when it was,
    ``ended_ns`` when its answer (or failure) was there; ``batch`` is items per request, ``outcome``
    an ``Outcome``, ``status`` the HTTP or gRPC status (0 if none came), ``response_bytes`` the
    size of the answer's body.
    """

    sequence: Int64s
    intended_ns: Int64s
    started_ns: Int64s
    ended_ns: Int64s
    batch: Int64s
    outcome: Int64s
    status: Int64s
    response_bytes: Int64s

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
