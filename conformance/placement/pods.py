"""Pods of the placement tests: typed objects, several at once, and the scheduler's decisions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from conformance.workloads import NOT_FOUND, REQUEST_TIMEOUT_S, created, probe_pod
from fixtures.profile import Profile, Steering
from fixtures.target import Cluster, Deployment, EdgeNode, Taint

REQUIREMENT_LABEL = "edge-conformance/requirement"
_CONFLICT = 409


def named(pod: client.V1Pod) -> str:
    """The pod's name."""
    if pod.metadata is None or pod.metadata.name is None:
        raise AssertionError("a pod of a test always has a name")
    return pod.metadata.name


def uid_of(pod: client.V1Pod) -> str:
    """The uid of a pod that the API server has made."""
    if pod.metadata is None or pod.metadata.uid is None:
        raise AssertionError("a pod that was created has a uid")
    return pod.metadata.uid


def spec_of(pod: client.V1Pod) -> client.V1PodSpec:
    """The pod's specification, to be changed."""
    if pod.spec is None:
        raise AssertionError("a pod of a test always has a specification")
    return pod.spec


def steered_pod(
    cluster: Cluster,
    requirement: str,
    name: str,
    *,
    resources: Mapping[str, int] | None = None,
    node_selector: Mapping[str, str] | None = None,
    tolerated: Sequence[Taint] = (),
) -> client.V1Pod:
    """A probe pod that carries the id of its requirement."""
    return probe_pod(
        cluster,
        f"{requirement}-{name}",
        resources=resources,
        node_selector=node_selector,
        tolerated=tolerated,
        labels={REQUIREMENT_LABEL: requirement},
    )


def probe_for(
    cluster: Cluster,
    edge: EdgeNode,
    requirement: str,
    name: str,
    resources: Mapping[str, int] | None = None,
) -> client.V1Pod:
    """A probe pod that can only go to this node."""
    return steered_pod(
        cluster,
        requirement,
        f"{name}-{edge.name}",
        resources=resources,
        node_selector={"kubernetes.io/hostname": host_of(cluster, edge)},
        tolerated=edge.taints,
    )


def host_of(cluster: Cluster, edge: EdgeNode) -> str:
    """The node's label by which a pod is bound to it."""
    return cluster.node(edge.name).labels["kubernetes.io/hostname"]


def every_taint(deployment: Deployment) -> tuple[Taint, ...]:
    """All taints of the profile's nodes: who tolerates them is kept away by none."""
    taints = (taint for edge in deployment.edges.values() for taint in edge.taints)
    return tuple(dict.fromkeys(taints))


def only_edges(cluster: Cluster, deployment: Deployment) -> client.V1NodeSelectorRequirement:
    """Required: one of the profile's nodes, and no other node of the cluster."""
    hosts = [host_of(cluster, edge) for edge in deployment.edges.values()]
    return client.V1NodeSelectorRequirement(
        key="kubernetes.io/hostname", operator="In", values=hosts
    )


@contextmanager
def together(cluster: Cluster) -> Iterator[Callable[[client.V1Pod], client.V1Pod]]:
    """Gives what creates a pod; on exit all are deleted, and only then each is waited for."""
    made: list[client.V1Pod] = []
    with ExitStack() as stack:

        def create(pod: client.V1Pod) -> client.V1Pod:
            made.append(stack.enter_context(created(cluster, pod)))
            return made[-1]

        try:
            yield create
        finally:
            for pod in made:
                delete_now(cluster, pod)


@contextmanager
def all_created(
    cluster: Cluster, pods: Sequence[client.V1Pod]
) -> Iterator[tuple[client.V1Pod, ...]]:
    """Pods for a block, created and removed together."""
    with together(cluster) as create:
        yield tuple([create(pod) for pod in pods])


def delete_now(cluster: Cluster, pod: client.V1Pod) -> None:
    """Delete exactly this pod, without waiting; one that is gone is left alone."""
    options = client.V1DeleteOptions(preconditions=client.V1Preconditions(uid=uid_of(pod)))
    try:
        client.CoreV1Api(cluster.api_client).delete_namespaced_pod(
            named(pod), cluster.namespace, body=options, _request_timeout=REQUEST_TIMEOUT_S
        )
    except ApiException as error:
        if error.status not in (NOT_FOUND, _CONFLICT):
            raise


def required(*terms: client.V1NodeSelectorRequirement) -> client.V1NodeSelector:
    """All of these must hold."""
    return client.V1NodeSelector(
        node_selector_terms=[client.V1NodeSelectorTerm(match_expressions=list(terms))]
    )


def has_label(key: str, *values: str) -> client.V1NodeSelectorRequirement:
    """The node's label has one of the values."""
    return client.V1NodeSelectorRequirement(key=key, operator="In", values=list(values))


def lacks_label(key: str, *values: str) -> client.V1NodeSelectorRequirement:
    """The node's label has none of the values."""
    return client.V1NodeSelectorRequirement(key=key, operator="NotIn", values=list(values))


def steering_of(profile: Profile) -> Steering:
    """The labels by which the profile claims that pods are steered."""
    if profile.steering is None:
        pytest.skip(f"profile {profile.name} claims no labels by which pods are steered (steering)")
    return profile.steering
