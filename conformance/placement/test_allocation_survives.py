"""Placement: pods keep their devices when agent, device plugin or runtime die, or the power."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from conformance.autonomy.offline import offline
from conformance.capabilities import require
from conformance.catalogue import requirement
from conformance.explain import explain
from conformance.inside import CannotLook
from conformance.observe import observe_until, observe_while
from conformance.placement.allocations import (
    allocations,
    asking,
    conflicts,
    differences,
    evident,
    holding,
    offered_again,
    ready_claim,
    running,
)
from conformance.placement.devices import claim_of, started
from fixtures.profile import Profile
from fixtures.target import (
    AcceleratorClaim,
    ActiveFault,
    Capability,
    Cluster,
    Component,
    EdgeNode,
    Evidence,
    FaultNotConfirmed,
    Faults,
    FixtureError,
    PodStatus,
)

SETTLES_S = 4.0
"""A new process looks at pods and devices within its first seconds: that is when it may do harm."""

POWER_OFF_S = 3.0


@requirement(
    id="PLC-008",
    level="MUST",
    family="placement",
    since="0.2",
    sentence="A restart of the node's agent MUST leave every pod its devices, and free devices "
    "MUST be given out rightly afterwards.",
    why="An agent that forgets who has which device gives it to a second pod.",
    source="Kubernetes documentation: Device Plugins; kubernetes/kubernetes issue 109595",
)
@pytest.mark.disturbs
@pytest.mark.needs(Capability.EXEC_IN_POD, Capability.RESTART_AGENT)
def test_allocation_survives_an_agent_restart(
    one_accelerator_edge: EdgeNode,
    cluster: Cluster,
    faults: Faults,
    profile: Profile,
    evidence: Evidence,
) -> None:
    """Kill the agent while all devices are held; then let a device change hands."""
    edge = one_accelerator_edge
    require(edge, Capability.EXEC_IN_POD, Capability.RESTART_AGENT)
    _survives(edge, cluster, faults.kill_agent(edge), "agent", "plc-008", profile, evidence)


@requirement(
    id="PLC-009",
    level="MUST",
    family="placement",
    since="0.2",
    sentence="A restart of the device plugin MUST leave every pod its devices, and the node MUST "
    "offer all of them again in the time that the profile claims.",
    why="Device plugins are updated and crash; the models that run must not notice.",
    source="Kubernetes documentation: Device Plugins (handling kubelet and plugin restarts)",
)
@pytest.mark.disturbs
@pytest.mark.needs(Capability.EXEC_IN_POD, Capability.RESTART_DEVICE_PLUGIN)
def test_allocation_survives_a_device_plugin_restart(
    one_accelerator_edge: EdgeNode,
    cluster: Cluster,
    faults: Faults,
    profile: Profile,
    evidence: Evidence,
) -> None:
    """Kill the device plugin while all devices are held; then let a device change hands."""
    edge = one_accelerator_edge
    require(edge, Capability.EXEC_IN_POD, Capability.RESTART_DEVICE_PLUGIN)
    fault = faults.kill_component(edge, Component.DEVICE_PLUGIN)
    _survives(edge, cluster, fault, "device plugin", "plc-009", profile, evidence)


@requirement(
    id="PLC-010",
    level="MUST",
    family="placement",
    since="0.2",
    sentence="A restart of the container runtime MUST leave every pod its devices, and free "
    "devices MUST be given out rightly afterwards.",
    why="A security update of the runtime is no reason to stop inference.",
    source="containerd documentation: containers outlive a restart of the daemon",
)
@pytest.mark.disturbs
@pytest.mark.needs(Capability.EXEC_IN_POD, Capability.RESTART_RUNTIME)
def test_allocation_survives_a_runtime_restart(
    one_accelerator_edge: EdgeNode,
    cluster: Cluster,
    faults: Faults,
    profile: Profile,
    evidence: Evidence,
) -> None:
    """Kill the container runtime while all devices are held; then let a device change hands."""
    edge = one_accelerator_edge
    require(edge, Capability.EXEC_IN_POD, Capability.RESTART_RUNTIME)
    fault = faults.kill_component(edge, Component.RUNTIME)
    _survives(edge, cluster, fault, "container runtime", "plc-010", profile, evidence)


def _survives(
    edge: EdgeNode,
    cluster: Cluster,
    fault: AbstractContextManager[ActiveFault],
    what: str,
    name: str,
    profile: Profile,
    evidence: Evidence,
) -> None:
    claim = ready_claim(cluster, edge)
    bound_s = profile.thresholds.allocatable_update_s
    promised = f"every pod of {edge.name} keeps its devices when the {what} dies and restarts"
    look = f"the logs of the {what} and of the agent on the node; the agent's device checkpoint"
    first = asking(cluster, edge, f"{name}-first")
    with cluster.place(first):
        started(cluster, first)
        pods = holding(cluster, edge, claim)
        before = allocations(edge, claim, pods)
        evidence.value(f"{edge.name} devices before the {what} died", evident(before))
        begun = time.monotonic()
        try:
            with fault:
                pass
        except FaultNotConfirmed as error:
            pytest.fail(
                explain(
                    promised=f"the {what} of {edge.name} is started again by the node",
                    seen=str(error),
                    since="it was killed",
                    look="the node's service manager and the log of what was killed",
                )
            )
        late = offered_again(cluster, edge, claim, bound_s)
        assert not late, explain(
            promised=f"{edge.name} offers all {claim.resource} again within {bound_s:g} s",
            seen=late,
            since=f"the {what} was killed and started again",
            look=look,
        )

        def changes() -> tuple[str, ...]:
            # A container that ends between the listing and the look into it is a change as well.
            try:
                return differences(before, allocations(edge, claim, pods))
            except CannotLook as error:
                return (str(error),)

        settled = observe_while(changes, lambda found: not found, SETTLES_S)
        assert settled.accepted, explain(
            promised=promised,
            seen="; ".join(settled.value),
            since=f"{time.monotonic() - begun:.1f} s after the {what} was killed",
            look=look,
        )
    _change_hands(edge, cluster, claim, f"{name}-second", f"the {what} was killed", bound_s)
    evidence.value(f"{edge.name} {what} killed and all right", round(time.monotonic() - begun, 1))


def _change_hands(
    edge: EdgeNode, cluster: Cluster, claim: AcceleratorClaim, name: str, since: str, bound_s: float
) -> None:
    """A pod that comes now gets what is free, and nothing that another one has."""
    request = asking(cluster, edge, name)
    with cluster.place(request):
        running(cluster, request, bound_s, f"{since}, and the pod before it was deleted")
        pods = holding(cluster, edge, claim)
        wrong = conflicts(claim, pods, allocations(edge, claim, pods))
        assert not wrong, explain(
            promised=f"a new pod on {edge.name} gets a device that no other pod has",
            seen="; ".join(wrong),
            since=since,
            look="the agent's device checkpoint: does it know the pods that ran before?",
        )


@requirement(
    id="PLC-011",
    level="MUST",
    family="placement",
    since="0.2",
    sentence="After a power cut and a boot, every pod with an accelerator MUST run again with as "
    "many devices as it asked for, none of them shared, in the time that the profile claims.",
    why="At boot pods and device plugin race: a pod that is first is rejected, and stays away.",
    source="kubernetes/kubernetes issue 109595; kubeedge/kubeedge#3618",
)
@pytest.mark.disturbs
@pytest.mark.needs(Capability.EXEC_IN_POD, Capability.POWER)
def test_allocation_survives_a_power_cut(
    one_accelerator_edge: EdgeNode,
    cluster: Cluster,
    faults: Faults,
    profile: Profile,
    evidence: Evidence,
) -> None:
    """Cut the power while all devices are held, with the cloud in reach."""
    edge = one_accelerator_edge
    require(edge, Capability.EXEC_IN_POD, Capability.POWER)
    with _held(edge, cluster, "plc-011", evidence) as pods:
        _boots_with_devices(edge, faults, profile, evidence, pods, "online")


@requirement(
    id="PLC-012",
    level="MUST",
    family="placement",
    since="0.2",
    sentence="After a power cut and a boot with the cloud link cut, every pod with an accelerator "
    "MUST run again with as many devices as it asked for, none of them shared, in the time that "
    "the profile claims.",
    why="Without the cloud nothing makes a pod anew that the node rejected for want of a device.",
    source="kubernetes/kubernetes issue 109595; kubeedge/kubeedge#3618, #4210",
)
@pytest.mark.disturbs
@pytest.mark.needs(Capability.EXEC_IN_POD, Capability.POWER, Capability.LINK)
def test_allocation_survives_a_power_cut_offline(
    one_accelerator_edge: EdgeNode,
    cluster: Cluster,
    faults: Faults,
    profile: Profile,
    evidence: Evidence,
) -> None:
    """Cut the link, then the power, while all devices are held."""
    edge = one_accelerator_edge
    require(edge, Capability.EXEC_IN_POD, Capability.POWER, Capability.LINK)
    at_most_s = POWER_OFF_S + 2 * profile.thresholds.power_recovery_s
    with _held(edge, cluster, "plc-012", evidence) as pods, offline(faults, edge, at_most_s):
        _boots_with_devices(edge, faults, profile, evidence, pods, "offline")


@contextmanager
def _held(
    edge: EdgeNode, cluster: Cluster, name: str, evidence: Evidence
) -> Iterator[tuple[PodStatus, ...]]:
    """A pod of the test's own beside the inference server: the pods that hold a device."""
    claim = ready_claim(cluster, edge)
    request = asking(cluster, edge, name)
    with cluster.place(request):
        started(cluster, request)
        pods = holding(cluster, edge, claim)
        evidence.value(
            f"{edge.name} devices before the power cut", evident(allocations(edge, claim, pods))
        )
        yield pods


def _boots_with_devices(
    edge: EdgeNode,
    faults: Faults,
    profile: Profile,
    evidence: Evidence,
    pods: tuple[PodStatus, ...],
    how: str,
) -> None:
    claim = claim_of(edge)
    bound_s = profile.thresholds.power_recovery_s
    promised = (
        f"{edge.name} runs its pods again, each with its own devices, within {bound_s:g} s "
        f"after its power is back, {how}"
    )
    look = "on the node, in the order of the boot: runtime, device plugin, agent (rejected pods)"
    begun = time.monotonic()
    try:
        with faults.cut_power(edge, POWER_OFF_S):
            pass
    except FaultNotConfirmed as error:
        pytest.fail(explain(promised=promised, seen=str(error), since="its power cut", look=look))
    left_s = bound_s - (time.monotonic() - begun - POWER_OFF_S)

    def look_at_pods() -> tuple[str, ...]:
        # While the node boots, containers come and go between a listing and a look into them.
        try:
            return conflicts(claim, pods, allocations(edge, claim, pods))
        except (CannotLook, FixtureError) as error:
            return (str(error),)

    back = observe_until(
        look_at_pods,
        lambda wrong: not wrong,
        max(0.0, left_s),
        interval_s=0.5,
    )
    assert back.accepted, explain(
        promised=promised,
        seen="; ".join(back.value),
        since=f"its power was cut for {POWER_OFF_S:g} s, {how}; the agent runs again",
        look=look,
    )
    seconds = time.monotonic() - begun - POWER_OFF_S
    evidence.value(f"{edge.name} pods back with their devices, {how}", round(seconds, 1), "s")
    evidence.value(
        f"{edge.name} devices after the power cut", evident(allocations(edge, claim, pods))
    )
