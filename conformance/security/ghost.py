"""A node that exists in the API only: one may try to be it without harming a real one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kubernetes import client

from conformance.workloads import REQUEST_TIMEOUT_S, created, probe_pod
from fixtures.target import Cluster

_EDGE_ROLE = "node-role.kubernetes.io/edge"
PROBE_CONDITION = "EdgeConformanceProbe"


@contextmanager
def ghost(cluster: Cluster, name: str) -> Iterator[str]:
    """An edge node without a machine, on which nothing is ever scheduled."""
    node = client.V1Node(
        api_version="v1",
        kind="Node",
        metadata=client.V1ObjectMeta(
            name=name, labels={_EDGE_ROLE: "", "kubernetes.io/hostname": name}
        ),
        spec=client.V1NodeSpec(unschedulable=True),
    )
    with created(cluster, node):
        yield name


@contextmanager
def pod_on(cluster: Cluster, node: str, namespace: str, marker: str) -> Iterator[None]:
    """A pod that is bound to the node and carries a marker, which only that node may learn."""
    pod = probe_pod(cluster, f"for-{node}", namespace=namespace)
    if pod.spec is None:
        raise AssertionError("a probe pod has a spec")
    pod.spec.node_name = node
    # Nobody would ever confirm its end.
    pod.spec.termination_grace_period_seconds = 0
    pod.spec.containers[0].env = [client.V1EnvVar(name="MARKER", value=marker)]
    with created(cluster, pod):
        yield


def has_condition(cluster: Cluster, node: str) -> bool:
    """Whether somebody has reported the probe's condition for the node."""
    core = client.CoreV1Api(cluster.api_client)
    status = core.read_node(node, _request_timeout=REQUEST_TIMEOUT_S).status
    conditions = status.conditions if status else None
    return any(one.type == PROBE_CONDITION for one in conditions or ())
