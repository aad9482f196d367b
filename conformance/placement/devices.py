"""Accelerators as the scheduler counts them and as a container sees them."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from conformance.explain import explain
from conformance.inside import run_inside
from conformance.observe import observe_until
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
FREE_TIMEOUT_S = 45.0
# Words by which container runtimes of vendors say that there is no device.
_NO_DEVICE = frozenset({"none", "void"})


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


def require_view(claim: AcceleratorClaim) -> None:
    """Skip unless something is known by which a container's devices can be seen."""
    if claim.visible_env is None and claim.device_files is None:
        pytest.skip(
            f"the profile's accelerators say neither visibleEnv nor deviceFiles of "
            f"{claim.resource}, so what a container sees of it cannot be told"
        )


def free_devices(cluster: Cluster, edge: EdgeNode, resource: str) -> int:
    """Allocatable devices that no pod of the suite's namespace holds."""
    held = sum(pod.resources[resource] for pod in holders(cluster, edge, resource))
    return cluster.node(edge.name).allocatable.get(resource, 0) - held


def require_free(cluster: Cluster, edge: EdgeNode, resource: str) -> int:
    """How many devices are free; skips when none is, for then nothing can be shown.

    Waits for one that is on its way back: a pod that ends, a plugin that registers again.
    """
    seen = observe_until(
        lambda: free_devices(cluster, edge, resource), lambda free: free > 0, FREE_TIMEOUT_S
    )
    if not seen.accepted:
        pytest.skip(
            f"{edge.name}: no free {resource} is left for the test's own pod, "
            f"{FREE_TIMEOUT_S:g} s long"
        )
    return seen.value


def visible_devices(
    edge: EdgeNode, container: ContainerInfo, claim: AcceleratorClaim
) -> VisibleDevices:
    """Look from inside the container.

    Raises:
        CannotLook: the container could not be looked into.
    """
    ids = "" if claim.visible_env is None else f"${{{claim.visible_env}:-}}"
    files = claim.device_files or ""
    # A pattern that matches nothing stays as it is, and no file has that name.
    script = (
        f'printf "%s\\n" "{ids}"; '
        f'for file in {files}; do [ -e "$file" ] && echo "$file"; done; true'
    )
    result = run_inside(edge, container, ["sh", "-c", script])
    first, *found = result.stdout.splitlines() or [""]
    named = tuple(part.strip() for part in first.split(",") if part.strip())
    return VisibleDevices(
        tuple(one for one in named if one not in _NO_DEVICE), tuple(sorted(found))
    )


def devices_of_pod(edge: EdgeNode, pod: PodStatus, claim: AcceleratorClaim) -> VisibleDevices:
    """What the pod's containers see together."""
    containers = containers_of(edge, pod)
    if not containers:
        pytest.fail(
            f"the cloud says that pod {pod.name} runs on {edge.name}, but the node's runtime has "
            f"no container of it (pod uid {pod.uid})"
        )
    views = [visible_devices(edge, container, claim) for container in containers]
    return VisibleDevices(
        tuple(sorted(one for view in views for one in view.ids)),
        tuple(sorted(one for view in views for one in view.files)),
    )


def miscount(seen: VisibleDevices, claim: AcceleratorClaim, wanted: int) -> str:
    """In which way a container sees more or fewer devices than wanted; "" if it does not."""
    problems = []
    if claim.visible_env is not None and len(seen.ids) != wanted:
        listed = ", ".join(seen.ids) or "none"
        problems.append(f"{len(seen.ids)} in {claim.visible_env}: {listed}")
    if claim.device_files is not None and len(seen.files) != wanted:
        listed = ", ".join(seen.files) or "none"
        problems.append(f"{len(seen.files)} device files {claim.device_files}: {listed}")
    return "; ".join(problems)


def shared(one: VisibleDevices, other: VisibleDevices) -> tuple[str, ...]:
    """Ids and files that both see."""
    return tuple(sorted({*one.ids, *one.files} & {*other.ids, *other.files}))


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
