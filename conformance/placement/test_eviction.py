"""Placement: who has to go, who stays, and who may come: taints, priority and cordon."""

from __future__ import annotations

import pytest
from kubernetes import client

from conformance.capabilities import require
from conformance.catalogue import requirement
from conformance.explain import explain
from conformance.inference import wait_for_right_answers
from conformance.observe import observe_until, observe_while
from conformance.placement.allocations import holding, ready_claim
from conformance.placement.devices import START_TIMEOUT_S, decision, free_devices
from conformance.placement.node_marks import cordoned, tainted
from conformance.placement.pods import (
    all_created,
    named,
    probe_for,
    spec_of,
    steering_of,
    together,
    uid_of,
)
from conformance.pods import inference_containers
from conformance.workloads import created, tolerations
from fixtures.profile import Profile
from fixtures.target import (
    Capability,
    Cluster,
    ContainerInfo,
    Deployment,
    EdgeNode,
    Evidence,
    PodStatus,
    Taint,
    WaitTimeout,
)

MAINTENANCE = Taint("edge-conformance/maintenance", "plc-018", "NoExecute")
STAYS_S = 3.0
# Below every pod that says nothing (0), so that no pod but the test's own is ever pre-empted.
ORDINARY, CRITICAL = -1000, 1000


@requirement(
    id="PLC-018",
    level="MUST",
    family="placement",
    since="0.2",
    sentence="A taint with NoExecute MUST remove a pod that does not tolerate it from the node, in "
    "the time that the profile claims, and leave one that does untouched.",
    why="Before maintenance a node must be emptied but for what has to run on.",
    source="Kubernetes documentation: Taints and Tolerations (taint based evictions)",
)
@pytest.mark.disturbs
@pytest.mark.needs(Capability.KILL_CONTAINER)
def test_no_execute_taint_evicts_who_does_not_tolerate_it(
    one_edge: EdgeNode,
    deployment: Deployment,
    cluster: Cluster,
    profile: Profile,
    evidence: Evidence,
) -> None:
    """Taint the node under two pods; its inference server goes as well, and comes back after."""
    edge = one_edge
    require(edge, Capability.KILL_CONTAINER)
    bound_s = steering_of(profile).evicted_within_s
    goes = probe_for(cluster, edge, "plc-018", "goes")
    stays = probe_for(cluster, edge, "plc-018", "stays")
    spec_of(stays).tolerations = tolerations([*edge.taints, MAINTENANCE])
    with all_created(cluster, (goes, stays)) as (gone, kept):
        for pod in (gone, kept):
            cluster.wait_for_pod(named(pod), ready=True, timeout_s=START_TIMEOUT_S)
        before = _containers(edge, uid_of(kept))
        with tainted(cluster, edge, MAINTENANCE):
            left = observe_until(
                lambda: (cluster.pod(named(gone)), _containers(edge, uid_of(gone))),
                lambda seen: seen == (None, ()),
                bound_s,
            )
            assert left.accepted, explain(
                promised=f"pod {named(gone)} leaves {edge.name} within {bound_s:g} s",
                seen=f"in the cloud {left.value[0]}, on the node {left.value[1]}",
                since=f"the node has a taint {MAINTENANCE.key}:NoExecute that it does not tolerate",
                look="the controller manager's taint eviction; the agent's log on the node",
            )
            stayed = observe_while(
                lambda: (cluster.pod(named(kept)), _containers(edge, uid_of(kept))),
                lambda seen: _as_before(seen[0], seen[1], kept, before),
                STAYS_S,
            )
        assert stayed.accepted, explain(
            promised=f"pod {named(kept)}, which tolerates the taint, runs on untouched",
            seen=f"in the cloud {stayed.value[0]}, on the node {stayed.value[1]}",
            since=f"the node had the taint; its container was {before}",
            look="the controller manager's taint eviction; the agent's log on the node",
        )
    evidence.value(f"{edge.name} evicted by a taint", round(left.seconds, 2), "s")
    back_s = wait_for_right_answers(deployment, edge, profile.thresholds.power_recovery_s)
    evidence.value(f"{edge.name} inference back without the taint", round(back_s, 2), "s")


def _containers(edge: EdgeNode, uid: str) -> tuple[ContainerInfo, ...]:
    return tuple(one for one in edge.containers() if one.pod_uid == uid)


def _as_before(
    pod: PodStatus | None,
    now: tuple[ContainerInfo, ...],
    made: client.V1Pod,
    before: tuple[ContainerInfo, ...],
) -> bool:
    return pod is not None and pod.uid == uid_of(made) and not pod.terminating and now == before


@requirement(
    id="PLC-021",
    level="MUST",
    family="placement",
    since="0.2",
    sentence="A pod of higher priority MUST get the accelerator of one of lower priority, in the "
    "time that the profile claims, and MUST keep it against others of lower priority.",
    why="When a device breaks, the safety model goes on and the statistics wait.",
    source="Kubernetes documentation: Pod Priority and Preemption",
)
@pytest.mark.disturbs
def test_critical_pod_gets_and_keeps_the_accelerator(
    one_accelerator_edge: EdgeNode, cluster: Cluster, profile: Profile, evidence: Evidence
) -> None:
    """Fill the node with an ordinary pod; a critical one pre-empts it, and no other pod."""
    edge = one_accelerator_edge
    claim = ready_claim(cluster, edge)
    bound_s = steering_of(profile).evicted_within_s
    before = {pod.uid for pod in holding(cluster, edge, claim)}
    free = free_devices(cluster, edge, claim.resource)
    asks = {"ordinary": free, "critical": free, "late": 1}
    pods = {
        name: probe_for(cluster, edge, "plc-021", name, {claim.resource: count})
        for name, count in asks.items()
    }
    for name, pod in pods.items():
        rank = "critical" if name == "critical" else "ordinary"
        spec_of(pod).priority_class_name = f"edge-conformance-{rank}"
    look = "the scheduler's log (preemption); kubectl get pods -o wide; kubectl get priorityclasses"
    ranks = (_priority_class("ordinary", ORDINARY), _priority_class("critical", CRITICAL))
    with created(cluster, ranks[0]), created(cluster, ranks[1]), together(cluster) as create:
        create(pods["ordinary"])
        cluster.wait_for_pod(named(pods["ordinary"]), ready=True, timeout_s=START_TIMEOUT_S)
        create(pods["critical"])
        won = observe_until(
            lambda: cluster.pod(named(pods["critical"])),
            lambda pod: pod is not None and pod.ready,
            bound_s,
        )
        victim = cluster.pod(named(pods["ordinary"]))
        assert won.accepted, explain(
            promised=f"a critical pod takes the {free} {claim.resource} of an ordinary one and "
            f"runs within {bound_s:g} s",
            seen=f"critical: {won.value}; ordinary: {victim}",
            since="it was created, with all devices taken",
            look=look,
        )
        evidence.value(f"{edge.name} critical pod running", round(won.seconds, 2), "s")
        create(pods["late"])
        refused = decision(cluster, named(pods["late"]))
        kept = observe_while(
            lambda: cluster.pod(named(pods["critical"])),
            lambda pod: pod is not None and pod.ready and not pod.terminating,
            STAYS_S,
        )
        holders_now = {pod.uid for pod in cluster.pods(node=edge.name) if not pod.terminating}
        assert refused.node is None, explain(
            promised="a later ordinary pod waits while the critical one has the device",
            seen=f"it was bound to {refused.node}",
            since="the critical pod had taken the device",
            look=look,
        )
        assert kept.accepted, explain(
            promised="the critical pod keeps its device",
            seen=str(kept.value),
            since="a later ordinary pod asked for it",
            look=look,
        )
        assert before <= holders_now, explain(
            promised=f"nobody else loses a {claim.resource}, the inference server least of all",
            seen=f"pods with uid {sorted(before - holders_now)} are gone",
            since="the critical pod was created",
            look=look,
        )


def _priority_class(rank: str, value: int) -> client.V1PriorityClass:
    return client.V1PriorityClass(
        api_version="scheduling.k8s.io/v1",
        kind="PriorityClass",
        metadata=client.V1ObjectMeta(name=f"edge-conformance-{rank}"),
        value=value,
        description="Of the conformance suite, for the time of one test.",
    )


@requirement(
    id="PLC-022",
    level="MUST",
    family="placement",
    since="0.2",
    sentence="A cordoned node MUST get no new pod and keep those that run, and MUST take pods "
    "again when it is no longer cordoned.",
    why="A node is taken out of the rota before an update, without an outage.",
    source="Kubernetes documentation: Manual Node administration; Safely Drain a Node",
)
@pytest.mark.disturbs
@pytest.mark.needs(Capability.KILL_CONTAINER)
def test_cordoned_node_gets_no_new_pods(
    one_edge: EdgeNode, deployment: Deployment, cluster: Cluster, evidence: Evidence
) -> None:
    """Cordon the node under its inference server, ask for a pod on it, and uncordon it."""
    edge = one_edge
    require(edge, Capability.KILL_CONTAINER)
    running = inference_containers(deployment, edge)
    pod = probe_for(cluster, edge, "plc-022", "new")
    promised = f"no new pod is bound to {edge.name} while it is cordoned"
    look = "kubectl get nodes (SchedulingDisabled); who binds pods past the scheduler"
    with together(cluster) as create:
        with cordoned(cluster, edge):
            create(pod)
            decided = decision(cluster, named(pod))
            evidence.value("reason on the cordoned node", decided.unschedulable_reason)
            assert decided.node is None, explain(
                promised=promised,
                seen=f"pod {named(pod)} was bound to {decided.node}",
                since="the node was cordoned",
                look=look,
            )
            stayed = observe_while(
                lambda: (cluster.pod(named(pod)), inference_containers(deployment, edge)),
                lambda seen: seen[0] is not None and seen[0].node is None and seen[1] == running,
                STAYS_S,
            )
            assert stayed.accepted, explain(
                promised=f"{promised}, and its inference server runs on: {running}",
                seen=f"{stayed.value[0]}; inference server: {stayed.value[1]}",
                since=f"{stayed.seconds:.1f} s after the pod had been refused",
                look=look,
            )
        try:
            cluster.wait_for_pod(named(pod), ready=True, timeout_s=START_TIMEOUT_S)
        except WaitTimeout as error:
            pytest.fail(
                explain(
                    promised=f"the waiting pod runs on {edge.name} when it is uncordoned",
                    seen=str(error),
                    since="the node was uncordoned",
                    look=look,
                )
            )
