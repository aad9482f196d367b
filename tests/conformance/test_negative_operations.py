"""Each requirement on a server's operations fails where an operation hurts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from kubernetes import client

from conformance.serving.lanes import LANE, REVISION
from conformance.serving.model_use import ModelRepository
from conformance.serving.test_operations import ASKED, PORTS_PER_LANE
from fixtures.profile import Operations, Profile
from fixtures.target import ContainerInfo, Deployment, EdgeNode, Endpoint
from tests.conformance.background import Background
from tests.conformance.breakages import freeze_for_good
from tests.conformance.child import Child

pytestmark = pytest.mark.disturbs
# Enough for a copy to start on a busy node; a frozen one is awaited no longer than this.
SHORT = {"operations.coldStartPresent_s": 20}
SOON_S = 0.1


@pytest.fixture
def edge(deployment: Deployment, core: client.CoreV1Api) -> EdgeNode:
    """The node that the copies run on: the first without an accelerator."""
    del core
    return next(one for one in deployment.edges.values() if one.accelerator is None)


@pytest.fixture
def operations(profile: Profile) -> Operations:
    assert profile.operations is not None
    return profile.operations


def _pods(core: client.CoreV1Api, selector: str) -> list[Any]:
    found: Any = core.list_pod_for_all_namespaces(label_selector=selector, _request_timeout=10)
    return list(found.items)


def _container_of(edge: EdgeNode, pod: Any) -> ContainerInfo | None:
    return next((one for one in edge.containers() if one.pod_uid == pod.metadata.uid), None)


def test_srv_030_fails_where_the_other_replica_is_not_spared(
    child: Child, core: client.CoreV1Api, edge: EdgeNode
) -> None:
    def as_soon_as_the_first_lane_ends() -> bool:
        if not any(one.metadata.deletion_timestamp for one in _pods(core, f"{LANE}=a")):
            return False
        for one in _pods(core, f"{LANE}=b"):
            core.delete_namespaced_pod(one.metadata.name, one.metadata.namespace)
        return True

    with Background(as_soon_as_the_first_lane_ends, SOON_S) as breakage:
        run = child.run("SRV-030")
    assert breakage.done, run.output
    run.assert_failed("during a rolling update", "requests failed")


def test_srv_031_fails_where_the_canary_lacks_a_model(
    child: Child, core: client.CoreV1Api, edge: EdgeNode, operations: Operations
) -> None:
    first = operations.first_port + PORTS_PER_LANE
    canary = Endpoint(edge.endpoint.host, first, first + 1, first + 2, (ASKED,))

    def as_soon_as_the_canary_is_ready() -> bool:
        ready = [one for one in _pods(core, f"{LANE}=b") if _is_ready(one)]
        if ready:
            ModelRepository(canary).unload(ASKED)
        return bool(ready)

    with Background(as_soon_as_the_canary_is_ready, SOON_S) as breakage:
        run = child.run("SRV-031")
    assert breakage.done, run.output
    run.assert_failed("with a canary beside the stable replica", f"b: {ASKED}: HTTP 4")


def _is_ready(pod: Any) -> bool:
    return any(one.type == "Ready" and one.status == "True" for one in pod.status.conditions or ())


def test_srv_032_fails_where_the_former_revision_hangs(
    child: Child, core: client.CoreV1Api, edge: EdgeNode
) -> None:
    updated: list[str] = []

    def as_soon_as_the_former_revision_starts() -> bool:
        pods = _pods(core, f"{LANE}=a")
        updated.extend(one.metadata.uid for one in pods if one.metadata.labels[REVISION] == "3")
        if not updated:
            return False
        return _froze(edge, [one for one in pods if one.metadata.labels[REVISION] == "1"])

    with Background(as_soon_as_the_former_revision_starts, SOON_S) as breakage:
        run = child.run("SRV-032", changes=SHORT)
    assert breakage.done, run.output
    run.assert_failed("the former revision serves within 20 s")


def _froze(edge: EdgeNode, pods: list[Any]) -> bool:
    """Freeze the first pod that has a container by now and is not on its way out."""
    for pod in pods:
        if pod.metadata.deletion_timestamp is not None:
            continue
        container = _container_of(edge, pod)
        if container is not None:
            freeze_for_good(edge, container)
            return True
    return False


def _copies(core: client.CoreV1Api) -> list[Any]:
    """Pods that the single-copy tests have made, in the namespaces of their own."""
    return [
        one
        for one in _pods(core, "app.kubernetes.io/managed-by=edge-conformance")
        if one.metadata.name == "server" and one.metadata.namespace.startswith("ec-")
    ]


def test_srv_033_fails_where_a_starting_server_hangs(
    child: Child, core: client.CoreV1Api, edge: EdgeNode
) -> None:
    with Background(lambda: _froze(edge, _copies(core)), SOON_S) as breakage:
        run = child.run("SRV-033", changes={"operations.coldStartPresent_s": 12})
    assert breakage.done, run.output
    run.assert_failed("answers rightly within 12 s")


def _killing(core: client.CoreV1Api, edge: EdgeNode) -> Callable[[], bool]:
    """Kills a copy's server the moment that its pod is deleted."""
    known: dict[str, ContainerInfo] = {}

    def step() -> bool:
        for pod in _copies(core):
            uid = pod.metadata.uid
            if pod.metadata.deletion_timestamp is not None and uid in known:
                edge.kill_container(known[uid])
                return True
            if uid not in known and (found := _container_of(edge, pod)) is not None:
                known[uid] = found
        return False

    return step


def test_srv_035_fails_where_the_server_drops_what_it_works_on(
    child: Child, core: client.CoreV1Api, edge: EdgeNode
) -> None:
    with Background(_killing(core, edge), SOON_S) as breakage:
        run = child.run("SRV-035")
    assert breakage.done, run.output
    run.assert_failed("in flight are answered though the pod is deleted")
