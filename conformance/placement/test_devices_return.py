"""Placement: devices come back when their pod ends, and stay with it when its container dies."""

from __future__ import annotations

import time

import pytest

from conformance.capabilities import require
from conformance.catalogue import requirement
from conformance.explain import explain
from conformance.placement.allocations import (
    allocations,
    asking,
    conflicts,
    evident,
    ready_claim,
    running,
)
from conformance.placement.devices import free_devices, started
from fixtures.profile import Profile
from fixtures.target import Capability, Cluster, EdgeNode, Evidence, FaultNotConfirmed, Faults

ROUNDS = 3


@requirement(
    id="PLC-006",
    level="MUST",
    family="placement",
    since="0.2",
    sentence="The devices of a deleted pod MUST be free for the next pod, which runs with them in "
    "the time that the profile claims.",
    why="Devices that leak with each update of a model leave a site without any after some days.",
    source="Kubernetes documentation: Device Plugins; kubernetes/kubernetes issue 109595",
)
@pytest.mark.disturbs
@pytest.mark.needs(Capability.EXEC_IN_POD)
def test_devices_return_after_deletion(
    accelerator_edge: EdgeNode, cluster: Cluster, profile: Profile, evidence: Evidence
) -> None:
    """Take all free devices, give them back, and take them again, several times over."""
    edge = accelerator_edge
    require(edge, Capability.EXEC_IN_POD)
    claim = ready_claim(cluster, edge)
    bound_s = profile.thresholds.allocatable_update_s
    free = free_devices(cluster, edge, claim.resource)
    slowest_s = 0.0
    for turn in range(ROUNDS):
        begun = time.monotonic()
        request = asking(cluster, edge, f"plc-006-{turn}", free)
        with cluster.place(request):
            since = f"it was created; {turn} pods before it had had all {free} and were deleted"
            pod = running(cluster, request, bound_s, since)
            slowest_s = max(slowest_s, time.monotonic() - begun)
            seen = allocations(edge, claim, (pod,))
            wrong = conflicts(claim, (pod,), seen)
            assert not wrong, explain(
                promised=f"pod {pod.name} sees the {free} devices that it was given",
                seen="; ".join(wrong),
                since=since,
                look="the device plugin's Allocate answers and the agent's device checkpoint",
            )
    evidence.value(f"{edge.name} devices given back and taken", free)
    evidence.value(f"{edge.name} slowest start with returned devices", round(slowest_s, 2), "s")


@requirement(
    id="PLC-007",
    level="MUST",
    family="placement",
    since="0.2",
    sentence="A container that crashes MUST be started again with the same devices.",
    why="A model that finds another device, or none, after a crash runs on the processor or "
    "disturbs its neighbour.",
    source="Kubernetes documentation: Device Plugins (devices belong to the pod for its lifetime)",
)
@pytest.mark.disturbs
@pytest.mark.needs(Capability.EXEC_IN_POD, Capability.KILL_CONTAINER)
def test_crashed_container_keeps_its_devices(
    accelerator_edge: EdgeNode,
    cluster: Cluster,
    faults: Faults,
    profile: Profile,
    evidence: Evidence,
) -> None:
    """Kill the container of a pod with a device and look into its successor."""
    edge = accelerator_edge
    require(edge, Capability.EXEC_IN_POD, Capability.KILL_CONTAINER)
    claim = ready_claim(cluster, edge)
    request = asking(cluster, edge, "plc-007")
    with cluster.place(request):
        pod = started(cluster, request)
        (before,) = allocations(edge, claim, (pod,))
        begun = time.monotonic()
        try:
            with faults.kill_container(edge, before.container):
                pass
        except FaultNotConfirmed as error:
            pytest.fail(
                explain(
                    promised=f"pod {pod.name} is started again within "
                    f"{profile.thresholds.container_restart_s:g} s",
                    seen=str(error),
                    since="its container was killed",
                    look="the agent's log on the node (back-off), the device plugin's log",
                )
            )
        seconds = time.monotonic() - begun
        after = allocations(edge, claim, (pod,))
        evidence.value(f"{edge.name} devices before the crash", evident((before,)))
        evidence.value(f"{edge.name} devices after the crash", evident(after))
        evidence.value(f"{edge.name} container with a device restarted", round(seconds, 2), "s")
        assert [one.devices for one in after] == [before.devices], explain(
            promised=f"the successor of a crashed container has its devices: {before.words}",
            seen="; ".join(one.words for one in after) or "no container runs",
            since=f"container {before.container.id[:12]} was killed",
            look="the agent's device checkpoint, and whether it asks Allocate anew",
        )
