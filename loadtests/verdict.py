"""Whether a load kept its promises: which one broke, by how much, and when.

Percentiles of a verdict are over *all* requests that were offered: one that failed, or was
dropped, counts as answered never. So a server cannot get a better percentile by failing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from loadtests import statistics
from loadtests.records import Bools
from loadtests.statistics import NS_PER_MS, NS_PER_S, Records
from loadtests.validity import Validity


@dataclass(frozen=True, slots=True)
class Slo:
    """What is promised; ``latency_ms`` of None promises no latency.

    ``minimum_s`` and ``minimum_requests`` are rules of the scenario: less says too little.
    """

    percentile: float
    latency_ms: float | None
    failed_ratio: float
    minimum_s: float = 0.0
    minimum_requests: int = 0


@dataclass(frozen=True, slots=True)
class Promise:
    """One promise and what became of it; ``when`` says since when it was broken, and worst."""

    promised: str
    seen: str
    kept: bool
    when: str = ""

    def __str__(self) -> str:
        """A sentence for people."""
        word = "kept" if self.kept else "broken"
        return f"{word}: {self.promised}; seen: {self.seen}" + (self.when and f"; {self.when}")


@dataclass(frozen=True, slots=True)
class Verdict:
    """All promises of a load. *Invalid* means that the generator was measured: nothing is said."""

    word: Literal["kept", "broken", "invalid"]
    promises: tuple[Promise, ...]
    reasons: tuple[str, ...] = ()

    @property
    def held(self) -> bool:
        """Whether the load is valid and every promise was kept."""
        return self.word == "kept"

    def __str__(self) -> str:
        """Everything that was promised and seen, a line each."""
        lines = [f"invalid: {reason}" for reason in self.reasons]
        return "\n".join([self.word, *lines, *map(str, self.promises)])


def judge(records: Records, start_ns: int, end_ns: int, validity: Validity, slo: Slo) -> Verdict:
    """The verdict of a load that lasted from ``start_ns`` to ``end_ns``."""
    promises = tuple(_promises(records.between(start_ns, end_ns), start_ns, end_ns, slo))
    if not validity.valid:
        return Verdict("invalid", promises, validity.reasons)
    return Verdict("kept" if all(one.kept for one in promises) else "broken", promises)


def _promises(records: Records, start_ns: int, end_ns: int, slo: Slo) -> Iterator[Promise]:
    lasted_s, count = (end_ns - start_ns) / NS_PER_S, len(records)
    if slo.minimum_s > 0:
        promised = f"a run of at least {slo.minimum_s:g} s"
        yield Promise(promised, f"{lasted_s:.1f} s", lasted_s >= slo.minimum_s)
    if slo.minimum_requests > 0:
        promised = f"at least {slo.minimum_requests} requests"
        yield Promise(promised, f"{count}", count >= slo.minimum_requests)
    failed = ~statistics.right(records)
    ratio = int(np.count_nonzero(failed)) / max(1, count)
    kept = ratio <= slo.failed_ratio
    yield Promise(
        f"at most {slo.failed_ratio:.2%} of the requests fail",
        f"{int(np.count_nonzero(failed))} of {count} ({ratio:.2%})",
        kept,
        "" if kept else _when(records, failed, start_ns),
    )
    if slo.latency_ms is not None:
        yield _latency(records, start_ns, slo.percentile, slo.latency_ms)


def _latency(records: Records, start_ns: int, percent: float, promised_ms: float) -> Promise:
    latency_ms = np.where(
        statistics.right(records), (records.ended_ns - records.intended_ns) / NS_PER_MS, np.inf
    )
    seen_ms = (
        float(np.percentile(latency_ms, percent, method="inverted_cdf"))
        if len(records)
        else math.inf
    )
    kept = seen_ms <= promised_ms
    if math.isfinite(seen_ms):
        seen = f"{seen_ms:.3f} ms"
        seen += "" if kept else f", {seen_ms - promised_ms:.3f} ms beyond"
    else:
        seen = "never: too many requests failed"
    return Promise(
        f"p{percent:g} of all requests within {promised_ms:g} ms",
        seen,
        kept,
        "" if kept else _when(records, latency_ms > promised_ms, start_ns),
    )


def _when(records: Records, bad: Bools, start_ns: int) -> str:
    """When a promise was first broken by a request, and in which second by most."""
    if not bad.any():
        return "no request was offered"
    second = (records.intended_ns - start_ns) // NS_PER_S
    offered, worse = np.bincount(second), np.bincount(second[bad])
    worst = int(np.argmax(worse))
    first_s = (int(records.intended_ns[bad].min()) - start_ns) / NS_PER_S
    return (
        f"first {first_s:.1f} s after the start, worst in second {worst}: "
        f"{worse[worst]} of {offered[worst]} requests"
    )
