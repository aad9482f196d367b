"""What becomes of a node's inference server while the cloud is away: seen, and not judged."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from kubernetes import client

from conformance.inference import wait_for_right_answers
from conformance.workloads import created, pod_now, probe_pod, wait_ready
from fixtures.target import (
    Cluster,
    ContainerInfo,
    Deployment,
    EdgeNode,
    FaultNotConfirmed,
    Faults,
    WaitTimeout,
)

UNREACHABLE = "node.kubernetes.io/unreachable"
_READY_S = 60.0


@dataclass(frozen=True, slots=True)
class Return:
    """Whether the server answered rightly again: after how many seconds, or not within them."""

    happened: bool
    seconds: float

    def __str__(self) -> str:
        """For the report."""
        if self.happened:
            return f"{self.seconds:.1f} s"
        return f"not at all (watched for {self.seconds:.0f} s)"


def after_killed_container(
    deployment: Deployment,
    node: EdgeNode,
    faults: Faults,
    server: ContainerInfo,
    watch_s: float,
) -> Return:
    """Kill the server's container, and watch for its return."""
    begun = time.monotonic()
    try:
        with faults.kill_container(node, server):
            wait_for_right_answers(deployment, node, watch_s)
    except (WaitTimeout, FaultNotConfirmed):
        return Return(False, time.monotonic() - begun)
    return Return(True, time.monotonic() - begun)


def after_power_cut(
    deployment: Deployment, node: EdgeNode, faults: Faults, off_s: float, watch_s: float
) -> Return:
    """Cut the power, and watch for the server's return from when the power is back."""
    with faults.cut_power(node, off_s):
        begun = time.monotonic()
        try:
            wait_for_right_answers(deployment, node, off_s + watch_s)
        except WaitTimeout:
            return Return(False, time.monotonic() - begun - off_s)
        return Return(True, max(0.0, time.monotonic() - begun - off_s))


@contextmanager
def hasty_pod(cluster: Cluster, node: EdgeNode) -> Iterator[client.V1Pod]:
    """A running pod that tolerates its node's absence for a second only, as if that were long.

    Kubernetes gives every pod five minutes unless it says otherwise; what happens is the same.
    """
    name = f"hasty-{node.name}"
    pod = probe_pod(cluster, name, tolerated=node.taints)
    if pod.spec is None or pod.spec.tolerations is None:
        raise AssertionError("a probe pod has a spec with tolerations")
    pod.spec.tolerations.append(
        client.V1Toleration(
            key=UNREACHABLE, operator="Exists", effect="NoExecute", toleration_seconds=1
        )
    )
    pod.spec.node_name = node.name
    with created(cluster, pod):
        yield wait_ready(cluster, cluster.namespace, name, _READY_S)


def given_up(cluster: Cluster, pod: client.V1Pod) -> bool:
    """Whether the cloud has marked the pod for deletion, or it is gone already."""
    if pod.metadata is None:
        raise AssertionError("a pod that was created has metadata")
    now = pod_now(cluster, str(pod.metadata.namespace), str(pod.metadata.name))
    return now is None or now.metadata is None or now.metadata.deletion_timestamp is not None
