"""Requirements on devices over deaths and restarts fail on a node that loses them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from kubernetes import client

from conformance.inference import wait_for_right_answers
from fixtures.target import (
    AcceleratorClaim,
    Cluster,
    Component,
    ContainerInfo,
    Deployment,
    EdgeNode,
    wait_until,
)
from tests.conformance.background import Background
from tests.conformance.breakages import (
    allocatable_again,
    devices_restored,
    forgetful_agent,
    remove_devices,
    replace_devices,
)
from tests.conformance.child import Child

pytestmark = pytest.mark.disturbs
WHOLE_AGAIN_S = 180.0


@pytest.fixture
def whole(
    core: client.CoreV1Api,
    cluster: Cluster,
    deployment: Deployment,
    last_accelerator_edge: EdgeNode,
    last_claim: AcceleratorClaim,
) -> Callable[[], None]:
    """Waits until the node that was broken is whole again."""
    del core

    def wait() -> None:
        edge = last_accelerator_edge
        wait_for_right_answers(deployment, edge, WHOLE_AGAIN_S)
        wait_until(
            f"node {edge.name} Ready again",
            lambda: cluster.node(edge.name).ready,
            bool,
            WHOLE_AGAIN_S,
        )
        allocatable_again(cluster, edge.name, last_claim.resource, last_claim.count)

    return wait


def test_plc_006_fails_where_a_device_is_lost_after_its_first_pod(
    child: Child,
    cluster: Cluster,
    last_accelerator_edge: EdgeNode,
    last_claim: AcceleratorClaim,
    whole: Callable[[], None],
) -> None:
    edge = last_accelerator_edge

    def once_it_was_used() -> bool:
        first = cluster.pod(f"plc-006-0-{edge.name}")
        if first is None or not first.ready:
            return False
        edge.set_accelerator_health(last_claim.count - 1, healthy=False)
        return True

    try:
        with Background(once_it_was_used) as breakage:
            run = child.run(
                "PLC-006", node=edge.name, changes={"thresholds.allocatableUpdate_s": 5}
            )
    finally:
        edge.set_accelerator_health(last_claim.count - 1, healthy=True)
    assert breakage.done, run.output
    whole()
    run.assert_failed("gets the free devices and runs within 5 s", "were deleted")


def test_plc_007_fails_where_the_device_vanishes_under_the_container(
    child: Child,
    last_accelerator_edge: EdgeNode,
    last_claim: AcceleratorClaim,
    whole: Callable[[], None],
) -> None:
    edge = last_accelerator_edge

    def once_it_runs() -> bool:
        if not _runs(edge, f"plc-007-{edge.name}"):
            return False
        remove_devices(edge, last_claim)
        return True

    with devices_restored(edge, last_claim), Background(once_it_runs) as breakage:
        run = child.run("PLC-007", node=edge.name, changes={"thresholds.containerRestart_s": 4})
    assert breakage.done, run.output
    whole()
    run.assert_failed("is started again within 4 s")


def test_plc_008_fails_where_the_agent_takes_its_pods_along(
    child: Child, last_accelerator_edge: EdgeNode, whole: Callable[[], None]
) -> None:
    edge = last_accelerator_edge
    _dies_along(child, edge, edge.agent_pid, "PLC-008", "agent")
    whole()


@pytest.mark.parametrize(
    ("requirement", "component"),
    [("PLC-009", Component.DEVICE_PLUGIN), ("PLC-010", Component.RUNTIME)],
    ids=["device-plugin", "runtime"],
)
def test_plc_009_and_010_fail_where_pods_die_along(
    child: Child,
    last_accelerator_edge: EdgeNode,
    whole: Callable[[], None],
    requirement: str,
    component: Component,
) -> None:
    edge = last_accelerator_edge
    _dies_along(child, edge, lambda: edge.component_pid(component), requirement, component.value)
    whole()


def _dies_along(
    child: Child,
    edge: EdgeNode,
    pid: Callable[[], int | None],
    requirement: str,
    what: str,
) -> None:
    """As soon as the process is another one, the test's own container dies."""
    first = pid()

    def as_soon_as_another_one_runs() -> bool:
        if pid() in {None, first}:
            return False
        (victim,) = _runs(edge, f"{requirement.lower()}-first-{edge.name}")
        edge.kill_container(victim)
        return True

    with Background(as_soon_as_another_one_runs) as breakage:
        run = child.run(requirement, node=edge.name)
    assert breakage.done, run.output
    run.assert_failed(f"keeps its devices when the {what} dies", f"{requirement.lower()}-first")


def test_plc_011_fails_where_the_boot_takes_longer_than_claimed(
    child: Child, last_accelerator_edge: EdgeNode, whole: Callable[[], None]
) -> None:
    edge = last_accelerator_edge
    run = child.run("PLC-011", node=edge.name, changes={"thresholds.powerRecovery_s": 1})
    whole()
    run.assert_failed("runs its pods again", "within 1 s after its power is back, online")


def test_plc_012_fails_where_the_agent_forgets_its_pods(
    child: Child, last_accelerator_edge: EdgeNode, whole: Callable[[], None]
) -> None:
    edge = last_accelerator_edge
    with forgetful_agent(edge):
        run = child.run("PLC-012", node=edge.name, changes={"thresholds.powerRecovery_s": 10})
    whole()
    run.assert_failed("runs its pods again", "within 10 s after its power is back, offline")


def test_plc_025_fails_where_the_device_gives_nothing(
    child: Child,
    last_accelerator_edge: EdgeNode,
    last_claim: AcceleratorClaim,
    whole: Callable[[], None],
) -> None:
    edge = last_accelerator_edge
    with devices_restored(edge, last_claim):
        replace_devices(edge, last_claim, 3)
        run = child.run("PLC-025", node=edge.name)
    whole()
    run.assert_failed(f"one {last_claim.resource} computes", "exit 0")


def _runs(edge: EdgeNode, pod: str) -> tuple[ContainerInfo, ...]:
    return tuple(one for one in edge.containers() if one.pod_name == pod)
