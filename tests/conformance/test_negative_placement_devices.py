"""Requirements on devices over deaths and restarts fail on a node that loses them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import pytest

from conformance.pods import inference_pods
from fixtures.profile import Profile
from fixtures.target import (
    AcceleratorClaim,
    Cluster,
    Component,
    ContainerInfo,
    EdgeNode,
    FixtureError,
    wait_until,
)
from tests.conformance.background import Background
from tests.conformance.breakages import (
    allocatable_again,
    devices_restored,
    remove_devices,
    replace_devices,
)
from tests.conformance.child import Child, ChildRun

pytestmark = pytest.mark.disturbs
WHOLE_AGAIN_S = 180.0
_PLUGIN = Component.DEVICE_PLUGIN


@pytest.fixture
def whole(
    cluster: Cluster, last_accelerator_edge: EdgeNode, last_claim: AcceleratorClaim
) -> Callable[[], None]:
    """Waits until the node that was broken is whole again."""

    def wait() -> None:
        edge = last_accelerator_edge
        wait_until(
            f"node {edge.name} and its inference pod Ready again",
            lambda: (cluster.node(edge.name).ready, inference_pods(cluster, edge)),
            lambda seen: seen[0] and [pod.ready for pod in seen[1]] == [True],
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


@pytest.fixture(scope="module")
def died_along(
    profile: Profile, last_accelerator_edge: EdgeNode, tmp_path_factory: pytest.TempPathFactory
) -> ChildRun:
    """The tests of three restarts, in each of which the test's own container dies along."""
    edge = last_accelerator_edge
    steps = {
        "plc-008": _kills_along(edge, edge.agent_pid, "plc-008"),
        "plc-009": _kills_along(edge, partial(edge.component_pid, _PLUGIN), "plc-009"),
        "plc-010": _kills_along(edge, partial(edge.component_pid, Component.RUNTIME), "plc-010"),
    }
    child = Child(profile.path, tmp_path_factory.mktemp("restarts"))
    with ExitStack() as stack:
        breakages = {name: stack.enter_context(Background(step)) for name, step in steps.items()}
        run = child.run(",".join(steps).upper(), node=edge.name, timeout_s=400.0)
    assert all(breakage.done for breakage in breakages.values()), run.output
    return run


def _kills_along(edge: EdgeNode, pid: Callable[[], int | None], name: str) -> Callable[[], bool]:
    """As soon as the process is another one, the container of the test's own pod dies."""
    first = pid()

    def step() -> bool:
        if pid() in {None, first}:
            return False
        try:
            victims = _runs(edge, f"{name}-first-{edge.name}")
        except FixtureError:
            # A runtime that has just been started may not answer yet.
            return False
        for victim in victims:
            edge.kill_container(victim)
        return bool(victims)

    return step


@pytest.mark.parametrize(
    ("test", "what", "pod"),
    [
        ("test_allocation_survives_an_agent_restart", "agent", "plc-008"),
        ("test_allocation_survives_a_device_plugin_restart", "device plugin", "plc-009"),
        ("test_allocation_survives_a_runtime_restart", "container runtime", "plc-010"),
    ],
    ids=["plc-008", "plc-009", "plc-010"],
)
def test_plc_008_to_010_fail_where_a_pod_dies_along(
    died_along: ChildRun, whole: Callable[[], None], test: str, what: str, pod: str
) -> None:
    whole()
    died_along.of(test).assert_failed(f"keeps its devices when the {what} dies", f"{pod}-first")


@pytest.mark.parametrize(
    ("requirement", "how"),
    [("PLC-011", "online"), ("PLC-012", "offline")],
    ids=["plc-011", "plc-012"],
)
def test_plc_011_and_012_fail_where_the_boot_takes_longer_than_claimed(
    child: Child,
    last_accelerator_edge: EdgeNode,
    whole: Callable[[], None],
    requirement: str,
    how: str,
) -> None:
    edge = last_accelerator_edge
    run = child.run(requirement, node=edge.name, changes={"thresholds.powerRecovery_s": 1})
    whole()
    run.assert_failed("runs its pods again", f"within 1 s after its power is back, {how}")


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
