"""Accelerators as the scheduler counts them and as a container sees them."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from conformance.explain import explain
from conformance.pods import containers_of, holders
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

DECISION_TIMEOUT_S = 30.0
START_TIMEOUT_S = 60.0
_VISIBLE = "EDGE_VISIBLE_DEVICES"


@dataclass(frozen=True, slots=True)
class VisibleDevices:
    """What one container sees: the ids in its environment, and the device files."""

    ids: tuple[str, ...]
    files: tuple[str, ...]


def claim_of(edge: EdgeNode) -> AcceleratorClaim:
    """The accelerator that the profile claims for the node."""
    if edge.accelerator is None:
        pytest.skip(f"{edge.name}: the profile claims no accelerator for this node")
    return edge.accelerator


def kind_of(resource: str) -> str:
    """``gpu`` of ``edge.example/gpu``: device files are named ``/dev/edge-<kind><index>``."""
    return resource.rpartition("/")[2]


def free_devices(cluster: Cluster, edge: EdgeNode, resource: str) -> int:
    """Allocatable devices that no pod of the suite's namespace holds."""
    held = sum(pod.resources[resource] for pod in holders(cluster, edge, resource))
    return cluster.node(edge.name).allocatable.get(resource, 0) - held


def require_free(cluster: Cluster, edge: EdgeNode, resource: str) -> int:
    """How many devices are free; skips when none is, for then nothing can be shown."""
    free = free_devices(cluster, edge, resource)
    if free < 1:
        pytest.skip(f"{edge.name}: no free {resource} is left for the test's own pod")
    return free


def visible_devices(edge: EdgeNode, container: ContainerInfo, kind: str) -> VisibleDevices:
    """Look from inside the container."""
    script = (
        f'printf "%s\\n" "${{{_VISIBLE}:-}}"; '
        f'for file in /dev/edge-{kind}*; do [ -e "$file" ] && echo "$file"; done; true'
    )
    result = edge.exec_in_container(container, ["sh", "-c", script])
    if result.exit_code != 0:
        pytest.fail(
            f"could not look into container {container.name} of pod {container.pod_name} on "
            f"{edge.name}: exit {result.exit_code}: {result.stderr.strip()}"
        )
    first, *files = result.stdout.splitlines() or [""]
    ids = tuple(part.strip() for part in first.split(",") if part.strip())
    return VisibleDevices(ids, tuple(sorted(files)))


def devices_of_pod(edge: EdgeNode, pod: PodStatus, kind: str) -> VisibleDevices:
    """What the pod's containers see together."""
    containers = containers_of(edge, pod)
    if not containers:
        pytest.fail(
            f"the cloud says that pod {pod.name} runs on {edge.name}, but the node's runtime has "
            f"no container of it (pod uid {pod.uid})"
        )
    views = [visible_devices(edge, container, kind) for container in containers]
    return VisibleDevices(
        tuple(sorted(one for view in views for one in view.ids)),
        tuple(sorted(one for view in views for one in view.files)),
    )


def decision(cluster: Cluster, name: str) -> PodStatus:
    """Wait until the scheduler has bound the pod or refused it; gives the pod then."""
    pod = wait_until(
        f"the scheduler's decision on pod {name}",
        lambda: cluster.pod(name),
        lambda seen: (
            seen is not None and (seen.node is not None or seen.unschedulable_reason is not None)
        ),
        DECISION_TIMEOUT_S,
    )
    if pod is None:
        pytest.fail(f"pod {name} vanished while the scheduler was to decide on it")
    return pod


def started(cluster: Cluster, request: PodRequest) -> PodStatus:
    """Wait until the test's own pod runs; a pod that does not is explained."""
    try:
        return cluster.wait_for_pod(request.name, ready=True, timeout_s=START_TIMEOUT_S)
    except WaitTimeout as error:
        pytest.fail(
            explain(
                promised=f"a pod that asks for {_asked(request)} is started",
                seen=str(error),
                since=f"the pod {request.name} was created, {START_TIMEOUT_S:g} s ago",
                look="kubectl describe pod; the device plugin's log; the agent's log on the node",
            )
        )


def _asked(request: PodRequest) -> str:
    return ", ".join(f"{count} {name}" for name, count in request.resources.items()) or "nothing"
