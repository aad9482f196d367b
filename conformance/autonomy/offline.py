"""Being offline: a cut link that was confirmed, and is shown to have lasted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from conformance.errors import ConformanceError
from conformance.explain import explain
from conformance.inference import InferenceProbe, golden_samples, wait_for_right_answers
from fixtures.target import (
    ActiveFault,
    ContainerInfo,
    Deployment,
    EdgeNode,
    Faults,
    PodStatus,
    WaitTimeout,
)

STEADY_TIMEOUT_S = 60.0
POWER_OFF_S = 5.0
# The cut's own timer must not end it before the test does; every test heals far earlier.
SPARE_S = 60.0


@contextmanager
def offline(faults: Faults, edge: EdgeNode, at_most_s: float) -> Iterator[ActiveFault]:
    """Cut the node's cloud link; ``at_most_s`` is the longest that the test may need it cut.

    A link that was healed before the test ended would prove nothing, so that fails the test.
    """
    with faults.cut_link(edge, at_most_s + SPARE_S) as cut:
        yield cut
        if not edge.link.is_cut():
            pytest.fail(
                f"the cloud link of {edge.name} was whole again before the test ended, so what it "
                "saw was not seen offline; look at the link's timer and at who healed it"
            )


def steady(deployment: Deployment, edge: EdgeNode) -> None:
    """See that the server answers rightly before anything is disturbed."""
    try:
        wait_for_right_answers(deployment, edge, STEADY_TIMEOUT_S)
    except WaitTimeout as error:
        pytest.fail(
            explain(
                promised=f"the inference server of {edge.name} answers rightly in peace",
                seen=str(error),
                since="before the test disturbed anything",
                look="the earlier tests of this run, then the server's log on the node",
            )
        )


def answering(deployment: Deployment, edge: EdgeNode) -> InferenceProbe:
    """A probe that asks every golden sample of the node's models in turn."""
    return InferenceProbe(edge.endpoint, golden_samples(deployment, edge.endpoint))


def only_container(containers: tuple[ContainerInfo, ...]) -> ContainerInfo:
    """The one container of the inference server's pod."""
    if len(containers) != 1:
        names = ", ".join(f"{one.pod_name}/{one.name}" for one in containers)
        raise ConformanceError(f"expected one container of the inference server, found: {names}")
    return containers[0]


def describe(container: ContainerInfo) -> str:
    """Short identity of a container."""
    return f"{container.pod_name}/{container.name} {container.id[:12]}"


def same_containers(
    before: tuple[ContainerInfo, ...], after: tuple[ContainerInfo, ...]
) -> tuple[str, ...]:
    """What became of the containers of before: empty when all run on, untouched."""
    now = {one.id: one for one in after}
    changes = []
    for one in before:
        found = now.get(one.id)
        if found is None:
            changes.append(f"{describe(one)} is gone")
        elif (found.started_ns, found.pid) != (one.started_ns, one.pid):
            changes.append(f"{describe(one)} was started anew")
    return tuple(changes)


def brief(pods: tuple[PodStatus, ...]) -> str:
    """Pods in one line, for a message."""
    return (
        "; ".join(
            f"{pod.name} uid {pod.uid[:8]} {pod.phase} on {pod.node}, ready {pod.ready}, "
            f"restarts {pod.restarts}{', terminating' if pod.terminating else ''}"
            for pod in pods
        )
        or "none"
    )
