"""Each footprint requirement fails where a limit is broken, or where something stays behind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
from kubernetes import client

from conformance.footprint.components import lightest_edge
from fixtures.target import Capability, Cluster, Deployment, EdgeNode, JsonValue
from tests.conformance.background import Background
from tests.conformance.breakages import on_node
from tests.conformance.child import Child, ChildRun

pytestmark = pytest.mark.disturbs
SHORT: Mapping[str, JsonValue] = {"footprint.window_s": 8}
FEW: Mapping[str, JsonValue] = {"footprint.cyclePods": 1, "footprint.cycles": 1}
# A Python of another name, which holds memory: to the node it is a shim that outlived its pod.
_STRAY_FOLDER = "/root/stray"
_STRAY_START = (
    f"set -e; mkdir {_STRAY_FOLDER}; cd {_STRAY_FOLDER}; "
    'cp "$(readlink -f "$(command -v python3.11)")" containerd-shim; '
    "PYTHONHOME=/usr setsid ./containerd-shim -c "
    "'import time; held = bytearray(60_000_000); time.sleep(600)' </dev/null >/dev/null 2>&1 & "
    "echo $! >pid"
)
_STRAY_END = (
    f"if [ -s {_STRAY_FOLDER}/pid ]; then stray=$(cat {_STRAY_FOLDER}/pid); "
    'kill -s KILL -- "-$stray"; while kill -0 $stray 2>/dev/null; do sleep 0.1; done; fi; '
    f"rm -rf {_STRAY_FOLDER}"
)


@pytest.fixture
def edge(deployment: Deployment, core: client.CoreV1Api) -> EdgeNode:
    """The node that the footprint tests of pods choose."""
    return lightest_edge(deployment, Capability.RUN_COMMAND)


@contextmanager
def stray_shim(edge: EdgeNode, cluster: Cluster, *, in_round: int) -> Iterator[Background]:
    """While a test's pods run for the nth time, start a shim that nobody ends; ended on exit."""
    seen: set[str] = set()

    def as_soon_as_pods_run() -> bool:
        crowd = cluster.pods(f"edge-conformance/crowd={edge.name}")
        seen.update(pod.uid for pod in crowd if pod.ready)
        if len(seen) < in_round:
            return False
        on_node(edge, _STRAY_START)
        return True

    try:
        with Background(as_soon_as_pods_run) as breakage:
            yield breakage
    finally:
        on_node(edge, _STRAY_END)


def assert_each_failed(run: ChildRun, words: Mapping[str, str]) -> None:
    """Each test whose name begins so has failed and said so; and no other was run."""
    run.assert_failed()
    assert len(run.cases) == len(words), run.output
    for name, text in words.items():
        said = [case.message for case in run.cases if case.name.startswith(name)]
        assert len(said) == 1, f"{name}: found {len(said)} such tests"
        assert text in said[0], f"{name} failed without saying {text!r}: {said[0]}"


def test_fpt_001_002_004_005_009_fail_above_the_claimed_sizes(child: Child, edge: EdgeNode) -> None:
    fields = ("agentRss", "runtimeRss", "disk", "binaries", "datastore")
    changes = {f"footprint.{field}_bytes": 1000 for field in fields}
    ids = "FPT-001,FPT-002,FPT-004,FPT-005,FPT-009"
    run = child.run(ids, node=edge.name, changes=changes)
    assert_each_failed(
        run,
        {
            "test_agent_memory": f"the agent of {edge.name} has at most 1000 bytes of resident",
            "test_runtime_memory": f"the container runtime of {edge.name} has at most 1000 bytes",
            "test_disk": f"agent of {edge.name} take at most 1000 bytes of disk",
            "test_binaries": "are executables of at most 1000 bytes",
            "test_datastore": f"the datastore of {edge.name} takes at most 1000 bytes",
        },
    )


def test_fpt_006_007_fail_above_the_claimed_use_at_idle(child: Child, edge: EdgeNode) -> None:
    limits = {"footprint.agentCpu_ratio": 1e-6, "footprint.idleLink_bytesPerMin": 1}
    run = child.run("FPT-006,FPT-007", node=edge.name, changes={**SHORT, **limits})
    assert_each_failed(
        run,
        {
            "test_agent_cpu": f"the agent of {edge.name} at idle uses at most 1e-06 of a core",
            "test_link_traffic": f"the cloud link of {edge.name} at idle carries at most 1 bytes",
        },
    )


def test_fpt_003_008_fail_above_the_claims_of_a_pod(child: Child, edge: EdgeNode) -> None:
    limits = {"footprint.podGrowth_bytes": 1000, "footprint.podChangeLink_bytes": 1}
    run = child.run("FPT-003,FPT-008", changes={**SHORT, **FEW, **limits, "footprint.pods": [1]})
    assert_each_failed(
        run,
        {
            "test_growth": f"agent and runtime of {edge.name} grow by at most 1000 bytes",
            "test_link_traffic": f"costs the cloud link of {edge.name} at most 1 bytes",
        },
    )


def test_fpt_009_fails_where_the_agent_keeps_nothing(child: Child, deployment: Deployment) -> None:
    """On the plain node, whose kubelet knows its pods from the API server only."""
    assert deployment.comparison, "the reference profile has a node for comparison"
    (plain,) = deployment.comparison
    labels = {"edge.example/site": "store-1", "edge.example/accelerator": "none"}
    only: dict[str, JsonValue] = {
        "nodes": [{"name": plain, "agent": "kubelet", "labels": labels}],
        "comparison": [],
        "steering.preference": ["none"],
        "accelerators": [],
    }
    run = child.run("FPT-009", node=plain, changes=only)
    run.assert_failed(f"{plain} keeps its pods in a database of its own")


def test_fpt_010_fails_where_a_shim_stays_behind(
    child: Child, cluster: Cluster, edge: EdgeNode
) -> None:
    with stray_shim(edge, cluster, in_round=2) as breakage:
        run = child.run("FPT-010", changes={**FEW, "footprint.leak_bytes": 30_000_000})
    assert breakage.done, run.output
    run.assert_failed("have at most 30000000 bytes more than before")


def test_fpt_011_fails_where_a_shim_stays_behind(
    child: Child, cluster: Cluster, edge: EdgeNode
) -> None:
    with stray_shim(edge, cluster, in_round=1) as breakage:
        run = child.run("FPT-011", changes=FEW)
    assert breakage.done, run.output
    run.assert_failed("leave nothing on", "1 more shims")
