"""Placement: pods get the accelerator that they asked for, and nothing else."""

from __future__ import annotations

from itertools import combinations

import pytest

from conformance.capabilities import require
from conformance.catalogue import requirement
from conformance.explain import explain
from conformance.observe import observe_until, observe_while
from conformance.placement.devices import (
    claim_of,
    decision,
    devices_of_pod,
    miscount,
    require_free,
    require_view,
    shared,
    started,
)
from conformance.pods import holders
from fixtures.profile import Profile
from fixtures.target import Capability, Cluster, EdgeNode, Evidence, PodRequest

STAYS_PENDING_S = 5.0


def _request(edge: EdgeNode, name: str, count: int) -> PodRequest:
    return PodRequest(
        name=f"{name}-{edge.name}",
        resources={claim_of(edge).resource: count},
        tolerations=edge.taints,
    )


@requirement(
    id="PLC-001",
    level="MUST",
    family="placement",
    since="0.1",
    sentence="A pod that asks for one accelerator MUST run on a node that has it and see, inside "
    "its container, exactly one device; the node MUST offer as many as are claimed.",
    why="An inference pod on the wrong node, or with a neighbour's device, is slow or wrong "
    "without any error.",
    source="CNCF Kubernetes AI Conformance 1.37: secure_accelerator_access; Kubernetes "
    "documentation: Device Plugins",
)
@pytest.mark.disturbs
@pytest.mark.needs(Capability.EXEC_IN_POD)
def test_pod_gets_exactly_the_device_it_asked_for(
    accelerator_edge: EdgeNode, cluster: Cluster, evidence: Evidence
) -> None:
    """Place a pod without any selector, and look from inside its container."""
    edge = accelerator_edge
    require(edge, Capability.EXEC_IN_POD)
    claim = claim_of(edge)
    require_view(claim)
    node = cluster.node(edge.name)
    offered = node.allocatable.get(claim.resource, 0)
    evidence.value(f"{edge.name} allocatable {claim.resource}", offered)
    assert offered == claim.count, explain(
        promised=f"the profile claims {claim.count} {claim.resource} on {edge.name}",
        seen=f"the node offers {offered} (capacity {node.capacity.get(claim.resource, 0)})",
        since="the test's first look at the node, with nothing disturbed",
        look="the device plugin's log, the health of its devices, and the profile's count",
    )
    require_free(cluster, edge, claim.resource)
    request = _request(edge, "plc-001", 1)
    with cluster.place(request):
        pod = started(cluster, request)
        assert pod.node == edge.name, explain(
            promised=f"a pod that asks for {claim.resource} lands on {edge.name}",
            seen=f"it runs on {pod.node}",
            since="it was bound",
            look=f"which nodes offer {claim.resource}: kubectl get nodes -o yaml",
        )
        seen = devices_of_pod(edge, pod, claim)
        evidence.value(f"{edge.name} device ids in the container", list(seen.ids))
        evidence.value(f"{edge.name} device files in the container", list(seen.files))
        wrong = miscount(seen, claim, 1)
        assert not wrong, explain(
            promised=f"pod {pod.name} asked for one {claim.resource} and sees one",
            seen=wrong,
            since="the container was made",
            look=f"the device plugin's Allocate answer, and whether the container on {edge.name} "
            "is privileged",
        )
        if not (claim.ids_name_files and seen.ids and seen.files):
            return
        assert seen.files[0].endswith(seen.ids[0]), explain(
            promised="the device file in the container is the one of the allocated device",
            seen=f"file {seen.files[0]}, allocated {seen.ids[0]}",
            since="the container was made",
            look="the device plugin's Allocate answer",
        )


@requirement(
    id="PLC-002",
    level="MUST",
    family="placement",
    since="0.1",
    sentence="A pod that asks for an accelerator beyond the node's capacity MUST stay Pending "
    "with a reason that names the resource.",
    why="An overbooked device fails at run time; a silent refusal cannot be diagnosed.",
    source="Kubernetes documentation: Device Plugins; Schedule GPUs",
)
@pytest.mark.disturbs
def test_pod_beyond_capacity_stays_pending_with_the_reason(
    accelerator_edge: EdgeNode, cluster: Cluster, evidence: Evidence
) -> None:
    """Take all that is free with one pod, then ask for one device more."""
    edge = accelerator_edge
    resource = claim_of(edge).resource
    free = require_free(cluster, edge, resource)
    filler = _request(edge, "plc-002-filler", free)
    extra = _request(edge, "plc-002-extra", 1)
    promised = f"with all {resource} of {edge.name} taken, one more pod waits and is told why"
    look = f"the scheduler's log; kubectl describe node {edge.name} (Allocated resources)"
    with cluster.place(filler):
        started(cluster, filler)
        with cluster.place(extra):
            pod = decision(cluster, extra.name)
            assert pod.node is None, explain(
                promised=promised,
                seen=f"pod {extra.name} was bound to {pod.node}, though pod {filler.name} holds "
                f"the last {free}",
                since="the scheduler's first decision on it",
                look=look,
            )
            reason = pod.unschedulable_reason or ""
            evidence.value(f"{edge.name} scheduler's reason", reason)
            assert resource in reason, explain(
                promised=promised,
                seen=f"the reason does not name {resource}: {reason!r}",
                since="the scheduler's first decision on it",
                look=look,
            )
            stayed = observe_while(
                lambda: cluster.pod(extra.name),
                lambda seen: seen is not None and seen.node is None and seen.phase == "Pending",
                STAYS_PENDING_S,
            )
            assert stayed.accepted, explain(
                promised=promised,
                seen=f"it did not stay Pending: {stayed.value}",
                since=f"{stayed.seconds:.1f} s after it had been refused ({reason})",
                look=look,
            )


@requirement(
    id="PLC-003",
    level="MUST",
    family="placement",
    since="0.1",
    sentence="A pod without the toleration MUST never be bound to a tainted node.",
    why="Ordinary pods on an accelerator node take the memory and processor that inference "
    "was sized for.",
    source="Kubernetes documentation: Taints and Tolerations",
)
@pytest.mark.disturbs
def test_pod_without_toleration_never_lands_on_a_tainted_node(
    tainted_edge: EdgeNode, cluster: Cluster, evidence: Evidence
) -> None:
    """Leave the scheduler no node but the tainted one."""
    edge = tainted_edge
    taints = ", ".join(f"{taint.key}={taint.value}:{taint.effect}" for taint in edge.taints)
    host = cluster.node(edge.name).labels["kubernetes.io/hostname"]
    # The selector leaves the scheduler no other node: only the taint stands in its way.
    request = PodRequest(
        name=f"plc-003-{edge.name}", node_selector={"kubernetes.io/hostname": host}
    )
    promised = f"{edge.name} carries the taint {taints}, so a pod that does not tolerate it waits"
    look = f"kubectl get node {edge.name} -o jsonpath={{.spec.taints}}; who removed the taint"
    with cluster.place(request):
        pod = decision(cluster, request.name)
        assert pod.node is None, explain(
            promised=promised,
            seen=f"pod {request.name}, without any toleration, was bound to {pod.node}",
            since="the scheduler's first decision on it",
            look=look,
        )
        reason = pod.unschedulable_reason or ""
        evidence.value(f"{edge.name} scheduler's reason", reason)
        assert "taint" in reason, explain(
            promised=promised,
            seen=f"it waits for another reason: {reason!r}",
            since="the scheduler's first decision on it",
            look=look,
        )
        stayed = observe_while(
            lambda: cluster.pod(request.name),
            lambda seen: seen is not None and seen.node is None,
            STAYS_PENDING_S,
        )
        assert stayed.accepted, explain(
            promised=promised,
            seen=f"it did not stay Pending: {stayed.value}",
            since=f"{stayed.seconds:.1f} s after it had been refused ({reason})",
            look=look,
        )


@requirement(
    id="PLC-004",
    level="MUST",
    family="placement",
    since="0.1",
    sentence="A device that turns unhealthy MUST lower the node's allocatable count in the time "
    "that the profile claims, and raise it again when it is healthy.",
    why="A broken device that is still offered draws every new pod into a crash.",
    source="Kubernetes documentation: Device Plugins (ListAndWatch); CNCF Kubernetes AI "
    "Conformance 1.37: secure_accelerator_access",
)
@pytest.mark.disturbs
@pytest.mark.needs(Capability.ACCELERATOR_HEALTH)
def test_unhealthy_device_lowers_allocatable(
    accelerator_edge: EdgeNode, cluster: Cluster, profile: Profile, evidence: Evidence
) -> None:
    """Make one device report unhealthy, then healthy, and time the node's answer."""
    edge = accelerator_edge
    require(edge, Capability.ACCELERATOR_HEALTH)
    resource = claim_of(edge).resource
    bound_s = profile.thresholds.allocatable_update_s
    before = cluster.node(edge.name).allocatable.get(resource, 0)
    if before < 1:
        pytest.skip(f"{edge.name}: no {resource} is allocatable, so none can be taken away")
    index = claim_of(edge).count - 1
    try:
        edge.set_accelerator_health(index, healthy=False)
        _allocatable_becomes(edge, cluster, resource, before - 1, bound_s, evidence, "unhealthy")
    finally:
        edge.set_accelerator_health(index, healthy=True)
    _allocatable_becomes(edge, cluster, resource, before, bound_s, evidence, "healthy")


def _allocatable_becomes(
    edge: EdgeNode,
    cluster: Cluster,
    resource: str,
    wanted: int,
    bound_s: float,
    evidence: Evidence,
    state: str,
) -> None:
    def look() -> int:
        return cluster.node(edge.name).allocatable.get(resource, 0)

    seen = observe_until(look, lambda count: count == wanted, bound_s)
    assert seen.accepted, explain(
        promised=f"when a device of {edge.name} turns {state}, allocatable {resource} becomes "
        f"{wanted} within {bound_s:g} s",
        seen=f"it is {seen.value}",
        since=f"{seen.seconds:.1f} s after the device reported {state}",
        look="the device plugin's log (ListAndWatch), then the agent's node status updates",
    )
    evidence.value(f"{edge.name} allocatable follows {state}", round(seen.seconds, 2), "s")


@requirement(
    id="PLC-005",
    level="MUST",
    family="placement",
    since="0.1",
    sentence="Two pods MUST never see the same exclusive device.",
    why="Two models on one device disturb each other's latency and memory, and leak data.",
    source="CNCF Kubernetes AI Conformance 1.37: secure_accelerator_access (gpu_sharing is "
    "another requirement)",
)
@pytest.mark.disturbs
@pytest.mark.needs(Capability.EXEC_IN_POD)
def test_pods_never_share_an_exclusive_device(
    accelerator_edge: EdgeNode, cluster: Cluster, evidence: Evidence
) -> None:
    """Compare what every pod that holds a device sees, the inference server included."""
    edge = accelerator_edge
    require(edge, Capability.EXEC_IN_POD)
    claim = claim_of(edge)
    require_view(claim)
    resource = claim.resource
    require_free(cluster, edge, resource)
    request = _request(edge, "plc-005", 1)
    with cluster.place(request):
        started(cluster, request)
        pods = [pod for pod in holders(cluster, edge, resource) if pod.ready]
        if len(pods) < 2:
            pytest.skip(f"{edge.name}: only pod {request.name} holds {resource}; two are needed")
        views = {pod.name: devices_of_pod(edge, pod, claim) for pod in pods}
    for name, view in views.items():
        evidence.value(f"{edge.name} devices of {name}", [*view.ids, *view.files])
    for (one, first), (other, second) in combinations(views.items(), 2):
        common = shared(first, second)
        assert not common, explain(
            promised=f"a {resource} of {edge.name} belongs to one pod at a time",
            seen=f"pods {one} and {other} both see {', '.join(common)}",
            since="the later of the two containers was made",
            look="the device plugin's Allocate answers and the agent's device checkpoint",
        )
    wrong = {
        pod.name: problem
        for pod in pods
        if (problem := miscount(views[pod.name], claim, pod.resources[resource]))
    }
    assert not wrong, explain(
        promised="every pod sees as many devices as it asked for",
        seen="; ".join(f"pod {name}: {problem}" for name, problem in wrong.items()),
        since="the containers were made",
        look="the device plugin's Allocate answers",
    )
