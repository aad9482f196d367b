"""Placement: labels, affinity and sites steer pods to the right nodes, and to no other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from kubernetes import client

from conformance.catalogue import requirement
from conformance.explain import explain
from conformance.observe import observe_while
from conformance.placement.devices import (
    START_TIMEOUT_S,
    claim_of,
    decision,
    free_devices,
    require_free,
)
from conformance.placement.pods import (
    REQUIREMENT_LABEL,
    all_created,
    delete_now,
    every_taint,
    has_label,
    host_of,
    lacks_label,
    named,
    only_edges,
    probe_for,
    required,
    spec_of,
    steered_pod,
    steering_of,
    together,
)
from fixtures.profile import Profile
from fixtures.target import Cluster, Deployment, EdgeNode, Evidence, PodStatus, WaitTimeout

NOWHERE = "edge-conformance-nowhere"
"""A label value that no node has."""

STAYS_PENDING_S = 3.0
LOOK = "the scheduler's log; kubectl get nodes --show-labels; admission webhooks that change pods"

Steer = Callable[[client.V1Pod, str], None]


@requirement(
    id="PLC-015",
    level="MUST",
    family="placement",
    since="0.2",
    sentence="A pod whose nodeSelector names a kind of accelerator MUST run on a node with that "
    "label, and on none where no node has it.",
    why="The label is how a model is sent to the hardware that it was compiled for.",
    source="Kubernetes documentation: Assigning Pods to Nodes (nodeSelector)",
)
def test_node_selector_steers_pods(
    deployment: Deployment, cluster: Cluster, profile: Profile, evidence: Evidence
) -> None:
    """One pod for each kind of accelerator, and one for a kind that is nowhere."""
    steering = steering_of(profile)
    label = steering.accelerator_label

    def select(pod: client.V1Pod, kind: str) -> None:
        spec_of(pod).node_selector = {label: kind}

    pods = _for_each(deployment, cluster, "plc-015", steering.preference, select)
    _each_where_it_belongs(cluster, evidence, label, pods)


@requirement(
    id="PLC-016",
    level="MUST",
    family="placement",
    since="0.2",
    sentence="A pod with required node affinity MUST run on a node that its expressions match, "
    "and on none where no node does.",
    why="Affinity expresses what a selector cannot: one of several kinds, or any but one.",
    source="Kubernetes documentation: Assigning Pods to Nodes (node affinity)",
)
def test_required_affinity_steers_pods(
    deployment: Deployment, cluster: Cluster, profile: Profile, evidence: Evidence
) -> None:
    """Expressions with In and NotIn leave each pod one kind of accelerator, or none."""
    steering = steering_of(profile)
    label, kinds = steering.accelerator_label, steering.preference
    edges = only_edges(cluster, deployment)

    def demand(pod: client.V1Pod, kind: str) -> None:
        # Of all kinds by name, all but this one are ruled out again.
        others = [one for one in kinds if one != kind]
        terms = [has_label(label, *kinds), edges]
        spec_of(pod).affinity = _required(
            *terms, *([lacks_label(label, *others)] if others else [])
        )

    pods = _for_each(deployment, cluster, "plc-016", kinds, demand)
    _each_where_it_belongs(cluster, evidence, label, pods)


@requirement(
    id="PLC-020",
    level="MUST",
    family="placement",
    since="0.2",
    sentence="A pod that is meant for one site MUST never run on a node of another site.",
    why="Inference for a shop floor must run on its own LAN; data of a site may not leave it.",
    source="Kubernetes documentation: Assigning Pods to Nodes (node affinity)",
)
def test_workload_stays_on_its_site(
    deployment: Deployment, cluster: Cluster, profile: Profile, evidence: Evidence
) -> None:
    """A pod for each site of the profile, and one for a site that is not there."""
    label = steering_of(profile).site_label
    sites = {edge.labels[label] for edge in deployment.edges.values() if label in edge.labels}

    def bind(pod: client.V1Pod, site: str) -> None:
        spec_of(pod).affinity = _required(has_label(label, site))

    pods = _for_each(deployment, cluster, "plc-020", sorted(sites), bind)
    _each_where_it_belongs(cluster, evidence, label, pods)


def _required(*terms: client.V1NodeSelectorRequirement) -> client.V1Affinity:
    return client.V1Affinity(
        node_affinity=client.V1NodeAffinity(
            required_during_scheduling_ignored_during_execution=required(*terms)
        )
    )


def _for_each(
    deployment: Deployment,
    cluster: Cluster,
    requirement_id: str,
    values: Sequence[str],
    steer: Steer,
) -> dict[str, client.V1Pod]:
    """A pod for each value and one for NOWHERE; nothing but ``steer`` keeps them from a node."""
    pods = {}
    for value in (*values, NOWHERE):
        pods[value] = steered_pod(
            cluster, requirement_id, value.lower(), tolerated=every_taint(deployment)
        )
        steer(pods[value], value)
    return pods


def _each_where_it_belongs(
    cluster: Cluster, evidence: Evidence, label: str, pods: dict[str, client.V1Pod]
) -> None:
    """Each pod is bound to a node that has its value; the one for no node's value waits."""
    lost = named(pods[NOWHERE])
    with all_created(cluster, tuple(pods.values())):
        for value, pod in pods.items():
            decided = decision(cluster, named(pod))
            if value == NOWHERE:
                _waits(decided, label, evidence)
            else:
                _lands(cluster, decided, label, value, evidence)
        stayed = observe_while(
            lambda: cluster.pod(lost),
            lambda seen: seen is not None and seen.node is None,
            STAYS_PENDING_S,
        )
    assert stayed.accepted, explain(
        promised=f"a pod that no node's {label} matches waits",
        seen=f"it did not: {stayed.value}",
        since=f"{stayed.seconds:.1f} s after it had been refused",
        look=LOOK,
    )


def _waits(pod: PodStatus, label: str, evidence: Evidence) -> None:
    evidence.value("reason of the pod that fits nowhere", pod.unschedulable_reason)
    assert pod.node is None, explain(
        promised=f"a pod that no node's {label} matches waits",
        seen=f"pod {pod.name} was bound to {pod.node}",
        since="the scheduler's first decision on it",
        look=LOOK,
    )


def _lands(cluster: Cluster, pod: PodStatus, label: str, value: str, evidence: Evidence) -> None:
    found = None if pod.node is None else cluster.node(pod.node).labels.get(label)
    evidence.value(f"node of the pod for {label}={value}", pod.node)
    assert found == value, explain(
        promised=f"a pod for {label}={value} is bound to a node that has it",
        seen=f"pod {pod.name} waits: {pod.unschedulable_reason}"
        if pod.node is None
        else f"pod {pod.name} was bound to {pod.node}, which has {label}={found}",
        since="the scheduler's first decision on it",
        look=LOOK,
    )


@requirement(
    id="PLC-017",
    level="MUST",
    family="placement",
    since="0.2",
    sentence="Pods that prefer accelerators in an order MUST get the best one that is free, and "
    "when it is taken fall back to the next, down to the processor.",
    why="A site serves on with what is left: slower is better than not at all.",
    source="Kubernetes documentation: Assigning Pods to Nodes (preferred node affinity)",
)
def test_pods_fall_back_in_the_order_of_preference(
    deployment: Deployment, cluster: Cluster, profile: Profile, evidence: Evidence
) -> None:
    """One pod after another, of which a node takes one: each goes to the best that is left."""
    steering = steering_of(profile)
    label = steering.accelerator_label
    hosts: dict[str, str] = {}
    for edge in deployment.edges.values():
        hosts.setdefault(edge.labels.get(label, ""), host_of(cluster, edge))
    order = [kind for kind in steering.preference if kind in hosts]
    if len(order) < 2:
        pytest.skip(f"profile {profile.name} has nodes of one kind only: {', '.join(order)}")
    promised = f"of pods that prefer {', then '.join(order)}, each takes the best that is left"
    affinity = _preferring(label, order, [hosts[kind] for kind in order])
    landed: list[str] = []
    with together(cluster) as create:
        for turn, wanted in enumerate(order, start=1):
            pod = steered_pod(cluster, "plc-017", f"turn-{turn}", tolerated=every_taint(deployment))
            spec_of(pod).affinity = affinity
            create(pod)
            decided = decision(cluster, named(pod))
            found = "" if decided.node is None else cluster.node(decided.node).labels.get(label, "")
            assert found == wanted, explain(
                promised=f"{promised}: pod {turn} takes {wanted}",
                seen=f"it went to {decided.node}, which has {label}={found}"
                if decided.node is not None
                else f"it waits: {decided.unschedulable_reason}",
                since=f"pods before it took: {', '.join(landed) or 'none'}",
                look=LOOK,
            )
            landed.append(found)
    evidence.value("order in which pods took the nodes", landed)


def _preferring(label: str, order: Sequence[str], hosts: Sequence[str]) -> client.V1Affinity:
    """Prefer kinds in this order, on these hosts only; a host that has such a pod is full."""
    step = 100 // (len(order) - 1)
    return client.V1Affinity(
        node_affinity=client.V1NodeAffinity(
            required_during_scheduling_ignored_during_execution=required(
                has_label("kubernetes.io/hostname", *hosts)
            ),
            preferred_during_scheduling_ignored_during_execution=[
                client.V1PreferredSchedulingTerm(
                    weight=100 - step * rank,
                    preference=client.V1NodeSelectorTerm(
                        match_expressions=[has_label(label, kind)]
                    ),
                )
                # The last kind needs no weight, which could not be 0.
                for rank, kind in enumerate(order[:-1])
            ],
        ),
        pod_anti_affinity=client.V1PodAntiAffinity(
            required_during_scheduling_ignored_during_execution=[
                client.V1PodAffinityTerm(
                    topology_key="kubernetes.io/hostname",
                    label_selector=client.V1LabelSelector(
                        match_labels={REQUIREMENT_LABEL: "plc-017"}
                    ),
                )
            ]
        ),
    )


@requirement(
    id="PLC-019",
    level="MUST",
    family="placement",
    since="0.2",
    sentence="A model that needs one kind of accelerator MUST wait for it rather than run on a "
    "node without it, also where such nodes are free.",
    why="On other hardware it does not load, or is too slow without any error.",
    source="Kubernetes documentation: Schedule GPUs; Device Plugins",
)
@pytest.mark.disturbs
def test_model_waits_for_its_kind_of_accelerator(
    one_accelerator_edge: EdgeNode, deployment: Deployment, cluster: Cluster, evidence: Evidence
) -> None:
    """Take all devices of one kind; the next pod waits beside free nodes, and then gets one."""
    edge = one_accelerator_edge
    resource = claim_of(edge).resource
    owners = [
        one
        for one in deployment.edges.values()
        if one.accelerator is not None and one.accelerator.resource == resource
    ]
    others = [one.name for one in deployment.edges.values() if one not in owners]
    if not others:
        pytest.skip(f"every edge node of the profile has {resource}: there is no wrong one")
    free = {one.name: free_devices(cluster, one, resource) for one in owners}
    require_free(cluster, edge, resource)
    fillers = [
        probe_for(cluster, one, "plc-019", "filler", {resource: free[one.name]})
        for one in owners
        if free[one.name] > 0
    ]
    model = steered_pod(
        cluster, "plc-019", "model", resources={resource: 1}, tolerated=every_taint(deployment)
    )
    spec_of(model).affinity = _required(only_edges(cluster, deployment))
    promised = f"a pod that needs {resource} waits while all are taken, though {others} are free"
    with together(cluster) as create:
        taken = [create(pod) for pod in fillers]
        for pod in taken:
            assert decision(cluster, named(pod)).node is not None, f"{named(pod)} was not placed"
        create(model)
        decided = decision(cluster, named(model))
        evidence.value("reason of the waiting model", decided.unschedulable_reason)
        assert decided.node is None, explain(
            promised=promised,
            seen=f"it was bound to {decided.node}",
            since="the scheduler's first decision on it",
            look=LOOK,
        )
        stayed = observe_while(
            lambda: cluster.pod(named(model)),
            lambda seen: seen is not None and seen.node is None,
            STAYS_PENDING_S,
        )
        assert stayed.accepted, explain(
            promised=promised,
            seen=f"it did not stay Pending: {stayed.value}",
            since=f"{stayed.seconds:.1f} s after it had been refused",
            look=LOOK,
        )
        for pod in taken:
            delete_now(cluster, pod)
        try:
            bound = cluster.wait_for_pod(named(model), ready=True, timeout_s=START_TIMEOUT_S)
        except WaitTimeout as error:
            pytest.fail(
                explain(
                    promised=f"the waiting pod runs once a {resource} is free",
                    seen=str(error),
                    since="the pods that held them were deleted",
                    look=LOOK,
                )
            )
    assert bound.node in {one.name for one in owners}, explain(
        promised=f"the waiting pod runs on a node with {resource}",
        seen=f"it runs on {bound.node}",
        since="a device became free",
        look=LOOK,
    )
