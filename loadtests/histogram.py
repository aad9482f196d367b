"""Latency histograms that merge exactly: HdrHistogram with one set of bounds for all.

Histograms of the same bounds have the same bins, so adding the counts of several generators, or
of several seconds, gives what one histogram of all values would have been, count by count
(G. Tene, HdrHistogram). A value is kept to three significant digits: within 0.1 %.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogWriter

from loadtests.errors import RecordError
from loadtests.records import Int64s, Integers, Outcome, Records

LOWEST_US: Final = 1
HIGHEST_US: Final = 3_600_000_000
DIGITS: Final = 3
_NS_PER_S: Final = 1_000_000_000
_US_PER_MS: Final = 1000.0


class LatencyHistogram:
    """Latencies in microseconds, in bins; more than an hour counts as an hour."""

    def __init__(self) -> None:
        self._bins = HdrHistogram(LOWEST_US, HIGHEST_US, DIGITS)

    @classmethod
    def of(cls, values_us: Integers) -> LatencyHistogram:
        """The histogram of these values."""
        histogram = cls()
        within = np.clip(values_us, LOWEST_US, HIGHEST_US)
        for value, count in zip(*np.unique(within, return_counts=True), strict=True):
            histogram._bins.record_value(int(value), int(count))
        return histogram

    @classmethod
    def merged(cls, parts: Iterable[LatencyHistogram]) -> LatencyHistogram:
        """The histogram of all values of all parts."""
        whole = cls()
        for part in parts:
            whole._bins.add(part._bins)
        return whole

    @classmethod
    def decoded(cls, text: str) -> LatencyHistogram:
        """What ``encoded`` gave; RecordError if it is something else, or of other bounds."""
        histogram = cls()
        try:
            histogram._bins.decode_and_add(text)
        except Exception as error:
            raise RecordError(f"not an encoded histogram: {error}") from error
        return histogram

    @property
    def encoded(self) -> str:
        """HdrHistogram's own V2 text form, which its tools in any language read."""
        return str(self._bins.encode().decode("ascii"))

    @property
    def count(self) -> int:
        """How many values it holds."""
        return int(self._bins.get_total_count())

    def percentile_us(self, percent: float) -> int | None:
        """The highest value of the bin that holds the percentile, or None if it is empty."""
        if not self.count:
            return None
        # The nearest rank, as everywhere in the suite; the library by itself rounds the rank.
        rank = max(1, math.ceil(self.count * percent / 100 - 1e-9))
        return int(self._bins.get_value_at_percentile(rank * 100 / self.count))

    def __eq__(self, other: object) -> bool:
        # The library's own comparison looks at a minimum that its addition does not keep.
        return isinstance(other, LatencyHistogram) and self.encoded == other.encoded

    __hash__ = None  # type: ignore[assignment]


def of_records(records: Records) -> LatencyHistogram:
    """Latencies of the right answers, from the intended start."""
    return LatencyHistogram.of(_latencies_us(records))


def write_log(path: Path, records: Records, start_ns: int, end_ns: int) -> None:
    """One histogram for each second, in HdrHistogram's log format, for its log processors.

    A request belongs to the second of its intended start; values are microseconds, and the
    column of the greatest is in milliseconds.
    """
    with path.open("w", encoding="ascii") as file:
        log = HistogramLogWriter(file)
        log.output_log_format_version()
        log.output_comment("[Latencies from the intended start, in microseconds]")
        log.output_legend()
        for second, histogram in enumerate(_by_second(records, start_ns, end_ns)):
            histogram._bins.set_start_time_stamp(second * 1000)
            histogram._bins.set_end_time_stamp((second + 1) * 1000)
            log.output_interval_histogram(histogram._bins, max_value_unit_ratio=_US_PER_MS)


def _by_second(records: Records, start_ns: int, end_ns: int) -> Iterator[LatencyHistogram]:
    chosen = records.between(start_ns, end_ns)
    order = np.argsort(chosen.intended_ns, kind="stable")
    edges = np.arange(start_ns, end_ns + _NS_PER_S, _NS_PER_S)
    bounds = np.searchsorted(chosen.intended_ns[order], edges)
    for first, last in pairwise(bounds.tolist()):
        yield of_records(chosen.select_order(order[first:last]))


def _latencies_us(records: Records) -> Int64s:
    right = records.select(records.outcome == int(Outcome.OK))
    return (right.ended_ns - right.intended_ns) // 1000
