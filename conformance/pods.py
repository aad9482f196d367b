"""Finding pods and their containers from the cloud's and from the node's side."""

from __future__ import annotations

import pytest

from fixtures.target import Cluster, ContainerInfo, Deployment, EdgeNode, PodStatus

INFERENCE_SELECTOR = "app.kubernetes.io/name=triton"
_FINAL_PHASES = frozenset({"Succeeded", "Failed"})


def inference_pods(cluster: Cluster, edge: EdgeNode) -> tuple[PodStatus, ...]:
    """Pods of the inference server that are bound to the edge node."""
    return cluster.pods(INFERENCE_SELECTOR, edge.name)


def inference_containers(deployment: Deployment, edge: EdgeNode) -> tuple[ContainerInfo, ...]:
    """Containers of the edge node's inference server; asks the cloud which pods those are."""
    uids = {pod.uid for pod in inference_pods(deployment.cluster, edge)}
    found = tuple(one for one in edge.containers() if one.pod_uid in uids)
    if not found:
        pytest.fail(
            f"{edge.name} runs no container of a pod with the label {INFERENCE_SELECTOR}: "
            "the deployment was not whole before the test began"
        )
    return found


def holders(cluster: Cluster, edge: EdgeNode, resource: str) -> tuple[PodStatus, ...]:
    """Pods of the suite's namespace on the node that hold at least one of the resource."""
    return tuple(
        pod
        for pod in cluster.pods(node=edge.name)
        if pod.phase not in _FINAL_PHASES and pod.resources.get(resource, 0) > 0
    )


def containers_of(edge: EdgeNode, pod: PodStatus) -> tuple[ContainerInfo, ...]:
    """The pod's containers as the node's runtime sees them."""
    return tuple(one for one in edge.containers() if one.pod_uid == pod.uid)
