"""How long it takes to read a profile and check it against its schema and for sense."""

from __future__ import annotations

import time
from collections.abc import Sequence

from benchmarks.measurement import Benchmark, Measurement, percentile_us
from fixtures.paths import CHECKOUT
from fixtures.profile_loader import load

LOADS = 20
PROFILE = CHECKOUT / "profiles" / "reference.yaml"


def benchmark() -> Benchmark:
    """Reading and checking the reference profile."""
    return Benchmark("profile", "reading and checking profiles/reference.yaml", _run)


def _run() -> Sequence[Measurement]:
    durations = [_load_ns() for _ in range(LOADS)]
    first, rest = durations[0], durations[1:]
    what, subject = "load and check", PROFILE.name
    return (
        Measurement("profile", what, subject, first / 1e6, "ms", "the first time in the process"),
        Measurement(
            "profile",
            what,
            subject,
            percentile_us(rest, 50) / 1e3,
            "ms",
            f"p50 of {len(rest)} more",
        ),
    )


def _load_ns() -> int:
    begin_ns = time.perf_counter_ns()
    load(PROFILE)
    return time.perf_counter_ns() - begin_ns
