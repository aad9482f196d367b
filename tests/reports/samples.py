"""Results as real runs have them, in the shapes that loads and faults leave in the evidence."""

from __future__ import annotations

import math
from dataclasses import replace

from reports.model import (
    Claims,
    Environment,
    Fact,
    Fault,
    Figure,
    JsonValue,
    Load,
    Outcome,
    Requirement,
    Results,
    Run,
    Series,
    Suite,
    Test,
    Value,
    Verdict,
    Window,
)
from reports.store import judged

NS_PER_S = 1_000_000_000
START_NS = 5_000 * NS_PER_S
CLAIMS = Claims("shop-floor", "profiles/shop-floor.yaml", "reference", ("placement", "load"))


def case(nodeid: str, outcome: Outcome = "passed", message: str = "") -> Test:
    """One test."""
    values = (Value("p99", 12_345, "us"), Value("devices", ["gpu0"]), Value("back after", 3.2, "s"))
    return Test(nodeid, outcome, 1.25, message, message, values, f"python -m pytest {nodeid}")


def requirement(
    id: str,
    outcome: Outcome = "passed",
    *,
    level: str = "MUST",
    family: str = "placement",
    message: str = "",
    claimed: bool = True,
) -> Requirement:
    """One requirement with one test."""
    nodeid = f"{family}/test_{family}.py::test_{id.replace('-', '_').lower()}"
    return Requirement(
        id,
        level,
        family,
        "0.1",
        f"A pod that asks for one accelerator {level} run on a node that has it.",
        "An inference pod on the wrong node is slow or wrong without any error.",
        "Kubernetes documentation: Device Plugins",
        claimed,
        outcome,
        message,
        f"python -m pytest {nodeid}",
        (case(nodeid, outcome, message),),
    )


def load(test: str, name: str = "link cut under load", length_s: int = 90) -> Load:
    """A load with seconds without an answer in the middle, and the windows around them."""
    seconds = tuple(range(length_s))
    silent = [second in range(40, 44) for second in seconds]
    p50 = tuple(
        None if quiet else round(4_000 + 500 * math.sin(second / 4))
        for second, quiet in zip(seconds, silent, strict=True)
    )
    summary: dict[str, JsonValue] = {
        "offered": 40 * length_s,
        "good": 40 * (length_s - 4),
        "slow": 0,
        "failed": 160,
        "p50_us": 4_010,
        "p99_us": 14_200,
        "max_us": 81_000,
        "max_outage_s": 4.1,
        "valid": True,
        "invalid_because": [],
    }
    windows = (("before", 0, 20), ("during", 20, 70), ("after", 70, length_s))
    return Load(
        test,
        name,
        "LOD-001",
        "edge-gpu",
        "anomaly-window",
        "http",
        {"rate_per_s": 40.0, "batch": 4, "slo_ms": 250.0},
        summary,
        Series(
            START_NS,
            seconds,
            tuple(40 for _ in seconds),
            tuple(0 if quiet else 40 for quiet in silent),
            tuple(40 if quiet else 0 for quiet in silent),
            p50,
            tuple(None if one is None else one * 3 for one in p50),
            tuple(
                None if one is None else one * (20 if second % 13 == 0 else 4)
                for second, one in zip(seconds, p50, strict=True)
            ),
        ),
        tuple(
            Window(window, summary, START_NS + begin * NS_PER_S, START_NS + end * NS_PER_S)
            for window, begin, end in windows
        ),
        "loads/link-cut/record.arrow",
    )


def fault(test: str, *, over: bool = True) -> Fault:
    """A link cut from second 20 to second 70 of the load, or one that was never healed."""
    begun = Fault(
        test,
        "link-cut",
        "edge-gpu",
        over,
        {"phases": [{"start_s": 0.0, "duration_s": 50.0}]},
        START_NS + 20 * NS_PER_S,
        START_NS + 20 * NS_PER_S + 400_000_000,
        "the cloud no longer answers from edge-gpu",
    )
    if not over:
        return begun
    return replace(
        begun,
        healed_ns=START_NS + 70 * NS_PER_S,
        heal_confirmed_ns=START_NS + 72 * NS_PER_S,
        heal_confirmed_how="the cloud answers from edge-gpu",
    )


def results(*requirements: Requirement, complete: bool = True) -> Results:
    """Results of a run with one load, one fault and the facts of a node."""
    tested = requirements or (
        requirement("PLC-001"),
        requirement("PLC-002", "failed", message="the pod ran on edge-cpu, expected edge-gpu"),
        requirement("LOD-001", family="load"),
        requirement("LOD-002", "skipped", level="SHOULD", family="load", message="no batching"),
    )
    nodeid = tested[-1].tests[0].nodeid
    for one in tested:
        if one.id == "LOD-001":
            nodeid = one.tests[0].nodeid
    return judged(
        Results(
            complete=complete,
            suite=Suite("0.1.0", "30598c5d0d6f", False),
            run=Run(
                "0123456789ab",
                "2026-03-01T12:00:00+00:00",
                START_NS - 30 * NS_PER_S,
                "2026-03-01T12:06:40+00:00",
                400.0,
                ("conformance", "loadtests"),
            ),
            claims=CLAIMS,
            environment=Environment(
                "6.1.0", "A Processor", 2, 8_000_000_000, "Debian 12", "x86_64", "3.11.2"
            ),
            verdict=Verdict(False, "incomplete"),
            requirements=tested,
            loads=(load(nodeid),),
            faults=(fault(nodeid),),
            facts=(
                Fact("memory.edge-gpu.edgecore.rss_bytes", 92_000_000, "/proc", "bytes"),
                Fact("memory.edge-gpu.edgecore.pss_bytes", 88_000_000, "/proc", "bytes"),
                Fact("memory.edge-gpu.containerd.rss_bytes", 71_000_000, "/proc", "bytes"),
                Fact("disk.edge-gpu.used_bytes", 1_530_000_000, "du", "bytes"),
                Fact("version.edgecore.edge-gpu", "KubeEdge v1.22.0", "edgecore --version"),
                Fact("artifact.edgecore.sha256", "ab" * 32, "artefact store"),
            ),
            comparison=(
                Figure(nodeid, "restart", "edge", "edge-gpu", "2.1 s"),
                Figure(nodeid, "agent RSS", "edge", "edge-gpu", 92_000_000, "bytes"),
                Figure(nodeid, "agent RSS", "plain", "plain", 101_000_000, "bytes"),
                Figure(nodeid, "link at idle", "plain", "plain", 52_000, "bytes/min"),
            ),
        )
    )
