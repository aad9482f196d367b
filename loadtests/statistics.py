"""What a load record says: pure functions on its columns, without network or files.

A request is *good* when its answer was right and came within the SLO, counted from the intended
start; *failed* when no right answer came (errors, time-outs, wrong answers, requests never sent);
*slow* when it was right but beyond the SLO. Percentiles are exact (nearest rank) over the right
answers, from the intended start, so that a stalled server shows in every request it delayed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from loadtests.records import NEVER as NEVER
from loadtests.records import Bools, Int64s
from loadtests.records import Outcome as Outcome
from loadtests.records import Records as Records

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
NS_PER_US = 1_000


@dataclass(frozen=True, slots=True)
class Window:
    """A named part of a run, by the requests' intended start; monotonic nanoseconds."""

    name: str
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class Summary:
    """One run, or one window of it, in numbers; latencies in microseconds, None without answers.

    ``late`` counts requests sent more than the allowed lateness after their intended start.
    ``failed_by_kind`` maps outcome labels to counts and leaves out kinds that did not occur.
    """

    offered: int
    good: int
    slow: int
    failed: int
    failed_by_kind: Mapping[str, int]
    late: int
    dropped: int
    good_ratio: float
    p50_us: int | None
    p90_us: int | None
    p95_us: int | None
    p99_us: int | None
    p99_9_us: int | None
    max_us: int | None
    max_outage_s: float


@dataclass(frozen=True, slots=True)
class Series:
    """A run second by second, from ``start_ns``; latencies in microseconds, None without answers.

    A request belongs to the second of its intended start.
    """

    start_ns: int
    second: tuple[int, ...]
    offered: tuple[int, ...]
    good: tuple[int, ...]
    failed: tuple[int, ...]
    p50_us: tuple[int | None, ...]
    p99_us: tuple[int | None, ...]
    max_us: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Lateness:
    """How late the generator sent, in microseconds, and the share of requests sent too late."""

    p50_us: int | None
    p99_us: int | None
    max_us: int | None
    late_ratio: float


def right(records: Records) -> Bools:
    """Which requests got a right answer, however late."""
    mask: Bools = records.outcome == int(Outcome.OK)
    return mask


def good(records: Records, slo_ms: float) -> Bools:
    """Which requests got a right answer within the SLO, from their intended start."""
    within: Bools = records.ended_ns - records.intended_ns <= slo_ms * NS_PER_MS
    return right(records) & within


def latencies_us(records: Records) -> Int64s:
    """Latencies of the right answers, from the intended start, in microseconds, in row order."""
    answered = records.select(right(records))
    return (answered.ended_ns - answered.intended_ns) // NS_PER_US


def percentile(values: Int64s, percent: float) -> int | None:
    """The nearest-rank percentile: a value that was really seen, or None if there is none."""
    if len(values) == 0:
        return None
    return int(np.percentile(values, percent, method="inverted_cdf"))


def lateness(records: Records, late_after_ms: float) -> Lateness:
    """How far behind its schedule the generator was, over the requests that were sent."""
    sent = records.select(records.started_ns != NEVER)
    behind_us = (sent.started_ns - sent.intended_ns) // NS_PER_US
    late = int(np.count_nonzero(behind_us > late_after_ms * 1000))
    return Lateness(
        p50_us=percentile(behind_us, 50),
        p99_us=percentile(behind_us, 99),
        max_us=percentile(behind_us, 100),
        late_ratio=late / len(sent) if len(sent) else 0.0,
    )


def summary(
    records: Records, slo_ms: float, late_after_ms: float, start_ns: int, end_ns: int
) -> Summary:
    """The requests intended in ``[start_ns, end_ns)``, in numbers."""
    chosen = records.between(start_ns, end_ns)
    is_right = right(chosen)
    is_good = good(chosen, slo_ms)
    kinds = {
        kind.label: int(np.count_nonzero(chosen.outcome == kind))
        for kind in Outcome
        if kind is not Outcome.OK
    }
    behind_ns = chosen.started_ns - chosen.intended_ns
    late = (chosen.started_ns != NEVER) & (behind_ns > late_after_ms * NS_PER_MS)
    values = latencies_us(chosen)
    offered = len(chosen)
    return Summary(
        offered=offered,
        good=int(np.count_nonzero(is_good)),
        slow=int(np.count_nonzero(is_right & ~is_good)),
        failed=int(np.count_nonzero(~is_right)),
        failed_by_kind={label: count for label, count in kinds.items() if count},
        late=int(np.count_nonzero(late)),
        dropped=kinds[Outcome.DROPPED.label],
        good_ratio=int(np.count_nonzero(is_good)) / offered if offered else 0.0,
        p50_us=percentile(values, 50),
        p90_us=percentile(values, 90),
        p95_us=percentile(values, 95),
        p99_us=percentile(values, 99),
        p99_9_us=percentile(values, 99.9),
        max_us=percentile(values, 100),
        max_outage_s=max_outage_s(records, slo_ms, start_ns, end_ns),
    )


def series(records: Records, slo_ms: float, start_ns: int, end_ns: int) -> Series:
    """The requests intended in ``[start_ns, end_ns)``, second by second."""
    chosen = records.between(start_ns, end_ns)
    seconds = max(0, -(-(end_ns - start_ns) // NS_PER_S))
    bins = (chosen.intended_ns - start_ns) // NS_PER_S
    order = np.argsort(bins, kind="stable")
    chosen, bins = chosen.select_order(order), bins[order]
    edges = np.searchsorted(bins, np.arange(seconds + 1))
    is_right, is_good = right(chosen), good(chosen, slo_ms)
    latency_us = (chosen.ended_ns - chosen.intended_ns) // NS_PER_US
    parts = [slice(int(edges[i]), int(edges[i + 1])) for i in range(seconds)]
    answered = [latency_us[part][is_right[part]] for part in parts]
    return Series(
        start_ns=start_ns,
        second=tuple(range(seconds)),
        offered=tuple(part.stop - part.start for part in parts),
        good=tuple(int(np.count_nonzero(is_good[part])) for part in parts),
        failed=tuple(int(np.count_nonzero(~is_right[part])) for part in parts),
        p50_us=tuple(percentile(values, 50) for values in answered),
        p99_us=tuple(percentile(values, 99) for values in answered),
        max_us=tuple(percentile(values, 100) for values in answered),
    )


def max_outage_s(records: Records, slo_ms: float, start_ns: int, end_ns: int) -> float:
    """The longest time within ``[start_ns, end_ns]`` in which no good answer came, in seconds.

    The edges of the window count: a window without any good answer is one outage.
    """
    ended = records.ended_ns[good(records, slo_ms)]
    inside = np.sort(ended[(ended >= start_ns) & (ended <= end_ns)])
    marks = np.concatenate(([start_ns], inside, [max(start_ns, end_ns)]))
    return float(np.max(np.diff(marks))) / NS_PER_S


def recovery_s(
    records: Records, slo_ms: float, healed_ns: int, steady_s: float = 1.0
) -> float | None:
    """Seconds from ``healed_ns`` until answers were good again, and stayed so for ``steady_s``.

    It is the first good answer at or after the heal with nothing but good answers in the
    ``steady_s`` seconds after it; None if there is no such answer. A request that was not
    answered well counts at its end, or at its intended start if it was never sent.
    """
    is_good = good(records, slo_ms)
    ended = np.sort(records.ended_ns[is_good])
    bad = records.select(~is_good)
    bad_at = np.sort(np.where(bad.ended_ns == NEVER, bad.intended_ns, bad.ended_ns))
    candidates = ended[ended >= healed_ns]
    bad_until = np.searchsorted(bad_at, candidates + round(steady_s * NS_PER_S), side="right")
    bad_before = np.searchsorted(bad_at, candidates, side="right")
    steady = candidates[bad_until == bad_before]
    return float(steady[0] - healed_ns) / NS_PER_S if len(steady) else None
