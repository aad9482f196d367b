"""Figures of a reference deployment that is up: memory of its parts, and two ways into a node."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence

from benchmarks.measurement import Benchmark, BenchmarkError, Measurement, percentile_us
from benchmarks.profiles import PROFILE
from fixtures.deployment_lock import DeploymentLock
from fixtures.paths import state_root
from fixtures.profile_loader import load
from fixtures.reference import lifecycle, names
from fixtures.reference.deployment import ReferenceDeployment
from fixtures.reference.engine import enter

AGENT = "edgecore"
PAPER = "paper: 50-100 MB for a light edge agent"
ENTRIES = 20
_COMMAND = ("true",)
_TIMEOUT_S = 30.0
_LOCK_TIMEOUT_S = 60.0


def benchmark() -> Benchmark:
    """Memory per component, and how long a command in a node takes."""
    return Benchmark("deployment", "a reference deployment that is up (`make up`)", _run)


def _run() -> Sequence[Measurement]:
    deployment = lifecycle.attach(load(PROFILE))
    if deployment is None:
        raise BenchmarkError("no reference deployment is up: `make up` makes one")
    # A test that cuts the power of a node must not do so meanwhile.
    with DeploymentLock(state_root()).shared("benchmarks", _LOCK_TIMEOUT_S):
        return (*_memory(deployment), *_ways_in(deployment))


def _memory(deployment: ReferenceDeployment) -> Iterator[Measurement]:
    for name, node in deployment.nodes.items():
        for process in node.memory():
            note = PAPER if process.component == AGENT else ""
            for kind, size_bytes in (("RSS", process.rss_bytes), ("PSS", process.pss_bytes)):
                what, subject = f"memory, {kind}", f"{process.component} on {name}"
                yield Measurement("deployment", what, subject, size_bytes / 1e6, "MB", note)


def _ways_in(deployment: ReferenceDeployment) -> Iterator[Measurement]:
    engine, node = deployment.engine, next(iter(deployment.nodes))
    container = names.container(node)
    pid = engine.pid(container)
    if pid is None:
        raise BenchmarkError(f"{container} does not run")

    def by_nsenter() -> int:
        return enter(pid, _COMMAND, _TIMEOUT_S).exit_code

    def by_engine() -> int:
        return subprocess.run(
            [engine.name, "exec", container, *_COMMAND],
            env=engine.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        ).returncode

    ways: dict[str, Callable[[], int]] = {
        "fixtures.reference.engine.enter": by_nsenter,
        f"{engine.name} exec": by_engine,
    }
    durations: dict[str, list[int]] = {name: [] for name in ways}
    for _ in range(ENTRIES):
        for name, way in ways.items():
            begin_ns = time.perf_counter_ns()
            code = way()
            durations[name].append(time.perf_counter_ns() - begin_ns)
            if code != 0:
                raise BenchmarkError(f"{name}: `true` on {node} ended with exit status {code}")
    for name, one in durations.items():
        value = percentile_us(one, 50) / 1000
        note = f"{ENTRIES} times `true` on {node}, in turn"
        yield Measurement("deployment", "a command in a node, p50", name, value, "ms", note)
