"""What a benchmark gives, and how a row of repeated timings becomes one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from loadtests.statistics import percentile


class BenchmarkError(Exception):
    """A benchmark could not be carried out: the message says why."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One figure. ``subject`` is what was measured; those of one ``what`` stand side by side."""

    benchmark: str
    what: str
    subject: str
    value: float
    unit: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A named benchmark; ``run`` gives its figures."""

    name: str
    about: str
    run: Callable[[], Sequence[Measurement]]


def percentile_us(durations_ns: Sequence[int], percent: float) -> float:
    """The nearest-rank percentile of durations, in microseconds."""
    found = percentile(np.asarray(durations_ns, dtype=np.int64), percent)
    if found is None:
        raise BenchmarkError("found no durations, expected one at least")
    return found / 1000
