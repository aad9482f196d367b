"""A pod of the scene as the cloud has it, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from conformance.autonomy.objects import APP, GENERATION
from conformance.workloads import is_ready


@dataclass(frozen=True, slots=True)
class ContainerView:
    """What the node last reported of a container."""

    ready: bool
    restarts: int


@dataclass(frozen=True, slots=True)
class PodView:
    """What the cloud knows of a pod; ``generation`` is what its environment tells."""

    name: str
    app: str
    phase: str
    reason: str
    ready: bool
    terminating: bool
    generation: str
    containers: Mapping[str, ContainerView]


def pod_view(pod: Any) -> PodView:
    """A V1Pod."""
    environment = pod.spec.containers[0].env or ()
    return PodView(
        name=pod.metadata.name,
        app=(pod.metadata.labels or {}).get(APP, ""),
        phase=pod.status.phase or "",
        reason=pod.status.reason or "",
        ready=is_ready(pod),
        terminating=pod.metadata.deletion_timestamp is not None,
        generation=next((str(one.value) for one in environment if one.name == GENERATION), "none"),
        containers={
            one.name: ContainerView(one.ready, one.restart_count)
            for one in pod.status.container_statuses or ()
        },
    )
