"""Which pod of a node has which devices, and what became of that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import pytest

from conformance.explain import explain
from conformance.placement.devices import (
    VisibleDevices,
    claim_of,
    miscount,
    require_free,
    require_view,
    shared,
    visible_devices,
)
from conformance.pods import holders
from fixtures.target import (
    AcceleratorClaim,
    Cluster,
    ContainerInfo,
    EdgeNode,
    PodRequest,
    PodStatus,
    WaitTimeout,
    wait_until,
)

WHOLE_S = 60.0


@dataclass(frozen=True, slots=True)
class Allocation:
    """A pod's container and the devices that it sees."""

    pod: str
    container: ContainerInfo
    devices: VisibleDevices

    @property
    def words(self) -> str:
        """In one line, for a message."""
        seen = ", ".join((*self.devices.ids, *self.devices.files)) or "no device"
        return f"{self.pod} (container {self.container.id[:12]}) sees {seen}"


def ready_claim(cluster: Cluster, edge: EdgeNode) -> AcceleratorClaim:
    """The node's accelerator; skips unless a device is free and can be seen in a container."""
    claim = claim_of(edge)
    require_view(claim)
    require_free(cluster, edge, claim.resource)
    return claim


def asking(cluster: Cluster, edge: EdgeNode, name: str, count: int = 1) -> PodRequest:
    """A pod that asks for devices of this node."""
    host = cluster.node(edge.name).labels["kubernetes.io/hostname"]
    return PodRequest(
        name=f"{name}-{edge.name}",
        resources={claim_of(edge).resource: count},
        node_selector={"kubernetes.io/hostname": host},
        tolerations=edge.taints,
    )


def allocations(
    edge: EdgeNode, claim: AcceleratorClaim, pods: Sequence[PodStatus]
) -> tuple[Allocation, ...]:
    """What the containers of these pods see now, as the node has them; asks no cloud.

    Raises:
        CannotLook: a container was not to be looked into, for example because it is ending.
    """
    uids = {pod.uid for pod in pods}
    return tuple(
        Allocation(one.pod_name, one, visible_devices(edge, one, claim))
        for one in sorted(edge.containers(), key=lambda each: (each.pod_name, each.name))
        if one.pod_uid in uids
    )


def holding(cluster: Cluster, edge: EdgeNode, claim: AcceleratorClaim) -> tuple[PodStatus, ...]:
    """The pods that hold a device of the node, the inference server included; all must run."""
    try:
        return wait_until(
            f"all pods of {edge.name} with {claim.resource} to be Ready",
            lambda: holders(cluster, edge, claim.resource),
            lambda pods: all(pod.ready and not pod.terminating for pod in pods),
            WHOLE_S,
        )
    except WaitTimeout as error:
        pytest.fail(f"the node was not whole before the test disturbed it: {error}")


def differences(before: Sequence[Allocation], after: Sequence[Allocation]) -> tuple[str, ...]:
    """What became of the containers and devices of before: empty when all is the same."""
    now = {one.container.id: one for one in after}
    found = []
    for old in before:
        new = now.get(old.container.id)
        if new is None:
            found.append(f"{old.words}: that container is gone")
        elif new.container.pid != old.container.pid:
            found.append(f"{old.words}: it was started anew")
        elif new.devices != old.devices:
            found.append(f"{old.words}: now {new.words}")
    return tuple(found)


def conflicts(
    claim: AcceleratorClaim, pods: Sequence[PodStatus], found: Sequence[Allocation]
) -> tuple[str, ...]:
    """What is wrong with the allocations: a pod without its devices, or a device of two pods."""
    wrong = []
    for pod in pods:
        own = [one for one in found if one.container.pod_uid == pod.uid]
        if not own:
            wrong.append(f"pod {pod.name} has no running container")
            continue
        seen = VisibleDevices(
            tuple(each for one in own for each in one.devices.ids),
            tuple(each for one in own for each in one.devices.files),
        )
        problem = miscount(seen, claim, pod.resources[claim.resource])
        if problem:
            wrong.append(f"pod {pod.name} asked for {pod.resources[claim.resource]}: {problem}")
    for one, other in combinations(found, 2):
        common = shared(one.devices, other.devices)
        if common and one.container.pod_uid != other.container.pod_uid:
            wrong.append(f"pods {one.pod} and {other.pod} both see {', '.join(common)}")
    return tuple(wrong)


def evident(found: Sequence[Allocation]) -> Mapping[str, list[str]]:
    """Devices by pod, for the evidence."""
    return {one.pod: [*one.devices.ids, *one.devices.files] for one in found}


def running(cluster: Cluster, request: PodRequest, bound_s: float, since: str) -> PodStatus:
    """Wait until the pod, which must get devices that were given back, runs; or say why not."""
    try:
        return cluster.wait_for_pod(request.name, ready=True, timeout_s=bound_s)
    except WaitTimeout as error:
        pytest.fail(
            explain(
                promised=f"a pod gets the free devices and runs within {bound_s:g} s",
                seen=str(error),
                since=since,
                look="kubectl describe pod; the device plugin's log; the agent's log on the node",
            )
        )


def offered_again(cluster: Cluster, edge: EdgeNode, claim: AcceleratorClaim, bound_s: float) -> str:
    """Wait until the node offers all devices; "" or what was seen instead."""
    try:
        wait_until(
            f"{edge.name} to offer {claim.count} {claim.resource}",
            lambda: cluster.node(edge.name).allocatable.get(claim.resource, 0),
            lambda count: count == claim.count,
            bound_s,
        )
    except WaitTimeout as error:
        return str(error)
    return ""
