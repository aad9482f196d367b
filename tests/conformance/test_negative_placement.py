"""Each placement requirement fails on a deployment that breaks it."""

from __future__ import annotations

import pytest
from kubernetes import client

from conformance.placement.devices import visible_devices
from conformance.pods import inference_containers
from fixtures.profile import Profile
from fixtures.target import (
    AcceleratorClaim,
    Capability,
    Cluster,
    Deployment,
    EdgeNode,
)
from tests.conformance.background import Background
from tests.conformance.breakages import (
    allocatable_again,
    device_plugin_frozen,
    offer_more,
    stray_device,
    untainted,
)
from tests.conformance.child import Child

pytestmark = pytest.mark.disturbs


@pytest.fixture
def edge(deployment: Deployment, core: client.CoreV1Api) -> EdgeNode:
    """The reference deployment's first edge node with an accelerator."""
    return deployment.edges_with(Capability.ACCELERATOR_HEALTH)[0]


@pytest.fixture
def claim(edge: EdgeNode) -> AcceleratorClaim:
    """Its accelerator."""
    assert edge.accelerator is not None
    return edge.accelerator


def test_plc_001_fails_where_more_is_claimed_than_offered(
    child: Child, edge: EdgeNode, claim: AcceleratorClaim, profile: Profile
) -> None:
    index = [node.name for node in profile.nodes].index(edge.name)
    more = claim.count + 1
    run = child.run("PLC-001", node=edge.name, changes={f"nodes.{index}.accelerator.count": more})
    run.assert_failed(f"claims {more} {claim.resource}", f"offers {claim.count}")


def test_plc_002_fails_where_the_cloud_overbooks(
    child: Child,
    core: client.CoreV1Api,
    cluster: Cluster,
    edge: EdgeNode,
    claim: AcceleratorClaim,
) -> None:
    overbook = offer_more(core, edge.name, claim.resource, claim.count + 4)

    def once_the_node_is_full() -> bool:
        filler = cluster.pod(f"plc-002-filler-{edge.name}")
        if filler is not None and filler.ready:
            # The agent's own reports set it right again and again, so this is repeated.
            overbook()
        return False

    try:
        with Background(once_the_node_is_full):
            run = child.run("PLC-002", node=edge.name)
    finally:
        offer_more(core, edge.name, claim.resource, claim.count)()
        allocatable_again(cluster, edge.name, claim.resource, claim.count)
    run.assert_failed("one more pod waits and is told why")


def test_plc_003_fails_without_the_taint(
    child: Child, core: client.CoreV1Api, edge: EdgeNode
) -> None:
    with untainted(core, edge.name):
        run = child.run("PLC-003", node=edge.name)
    run.assert_failed("without any toleration, was bound to", edge.name)


def test_plc_004_fails_where_the_device_plugin_hangs(
    child: Child, cluster: Cluster, edge: EdgeNode, claim: AcceleratorClaim
) -> None:
    with device_plugin_frozen(edge):
        run = child.run("PLC-004", node=edge.name, changes={"thresholds.allocatableUpdate_s": 10})
    allocatable_again(cluster, edge.name, claim.resource, claim.count)
    run.assert_failed("turns unhealthy", f"it is {claim.count}")


def test_plc_005_fails_where_a_pod_sees_a_neighbours_device(
    child: Child, deployment: Deployment, edge: EdgeNode, claim: AcceleratorClaim
) -> None:
    kind = claim.resource.rpartition("/")[2]
    server = inference_containers(deployment, edge)[0]
    seen = set(visible_devices(edge, server, claim).files)
    others = [f"edge-{kind}{i}" for i in range(claim.count) if f"/dev/edge-{kind}{i}" not in seen]
    assert others, f"{edge.name}: the server holds every device, so no neighbour can have one"
    with stray_device(edge, server, others[0]):
        run = child.run("PLC-005", node=edge.name)
    run.assert_failed("both see", f"/dev/{others[0]}")
