"""Serving: a server is started, updated and ended without its users being hurt; done to copies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from conformance.catalogue import requirement
from conformance.explain import explain
from conformance.serving.copies import copy_of_server, edge_with_room
from conformance.serving.failover import FailoverClient, FailoverReport
from conformance.serving.lanes import Lane
from fixtures.profile import Operations, Profile
from fixtures.target import (
    Cluster,
    Deployment,
    Evidence,
    GoldenSample,
    WaitTimeout,
)

pytestmark = pytest.mark.disturbs

PORTS_PER_LANE = 5
# What lanes are asked: the smallest model, so that the load is no burden to the node.
ASKED = "identity"
IN_FLIGHT = 2
IN_FLIGHT_MS = 1000
SLOW_TIMEOUT_S = 20.0
ASK_TIMEOUT_S = 3.0
# From the end of a container to the API server's word that the pod is gone.
REPORT_LAG_S = 10.0
_PENDING = r'nv_inference_pending_request_count\{{model="{}"[^}}]*\}} (\S+)'
_LOOK = "events and containers of the namespace's pods, and the agent's log on the node"
_KUBERNETES = "Kubernetes documentation: Deployments"


@pytest.fixture
def operations(profile: Profile) -> Operations:
    """What the profile claims of operations; a profile that claims nothing skips the test."""
    if profile.operations is None:
        pytest.skip(f"profile {profile.name} has no section operations")
    return profile.operations


@pytest.fixture
def samples(deployment: Deployment) -> tuple[GoldenSample, ...]:
    """What the lanes are asked."""
    return deployment.golden(ASKED)


@dataclass(frozen=True, slots=True)
class Lanes:
    """Two lanes of one service on one node, and the client that knows both."""

    first: Lane
    second: Lane
    samples: tuple[GoldenSample, ...]

    @contextmanager
    def asked(self) -> Iterator[FailoverClient]:
        """The client at work."""
        known = {one.name: one.endpoint for one in (self.first, self.second)}
        with FailoverClient(known, self.samples) as client_at_work:
            yield client_at_work


@pytest.fixture
def lanes(
    deployment: Deployment,
    cluster: Cluster,
    namespace: str,
    operations: Operations,
    samples: tuple[GoldenSample, ...],
) -> Lanes:
    """Two lanes, not yet started."""
    edge = edge_with_room(deployment, 2)

    def lane(index: int, name: str, revision: str) -> Lane:
        server = copy_of_server(cluster, edge, operations.first_port + index * PORTS_PER_LANE)
        return Lane(cluster, namespace, name, server, samples[0], revision)

    return Lanes(lane(0, "a", "1"), lane(1, "b", "2"), samples)


@pytest.fixture
def both(lanes: Lanes, operations: Operations) -> Iterator[Lanes]:
    """The two lanes, serving."""
    limit_s = 2 * operations.cold_start_present_s
    with lanes.first.up(limit_s), lanes.second.up(limit_s):
        yield lanes


def _check_answers(report: FailoverReport, while_what: str) -> None:
    assert not report.failures, explain(
        promised=f"every request is answered rightly {while_what}, by one replica or the other",
        seen=report.describe(),
        since="the client began, with both replicas serving",
        look=_LOOK,
    )


@requirement(
    id="SRV-030",
    level="MUST",
    family="serving",
    since="0.2",
    sentence="Two replicas of an inference server, on ports of their own, MUST be updated one "
    "after the other without a request failing for a client that knows both.",
    why="A line does not stop for an update; on one node, two servers cannot share a port, so "
    "the client that knows both replicas is the site's load balancer.",
    source=f"{_KUBERNETES}, updating a Deployment",
)
def test_rolling_update(both: Lanes, operations: Operations, evidence: Evidence) -> None:
    """Update lane after lane under requests, each awaited before the next."""
    took = {}
    with both.asked() as at_work:
        for lane in (both.first, both.second):
            lane.update("3")
            try:
                took[lane.name] = lane.wait_serving("3", 2 * operations.cold_start_present_s)
            except WaitTimeout as error:
                _check_answers(at_work.report(), "during a rolling update")
                pytest.fail(f"the update did not come to an end: {error}")
        report = at_work.report()
    evidence.value("requests answered during the update", sum(report.answered.values()))
    evidence.value("requests that asked the second replica", report.second_asked)
    for name, seconds in took.items():
        evidence.value(f"lane {name} updated after", round(seconds, 2), "s")
    _check_answers(report, "during a rolling update")
