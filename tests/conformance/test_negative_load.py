"""Each load and chaos requirement fails on a deployment that breaks it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client

from conformance.inference import wait_for_right_answers
from conformance.pods import inference_containers
from fixtures.profile import Profile
from fixtures.target import Capability, Deployment, EdgeNode
from tests.conformance.background import Background
from tests.conformance.breakages import reconfigured
from tests.conformance.child import Child

pytestmark = pytest.mark.disturbs
WHOLE_AGAIN_S = 180.0
# Long enough for a fault to be seen, and no longer: what is broken fails at once.
SHORT = {"load.before_s": 3, "load.after_s": 3}


@pytest.fixture
def edge(deployment: Deployment, core: client.CoreV1Api) -> Iterator[EdgeNode]:
    """The node that the load goes to; answering again before the next test begins."""
    del core
    node = deployment.edges_with(Capability.LINK)[0]
    yield node
    wait_for_right_answers(deployment, node, WHOLE_AGAIN_S)


def _server_that_dies_with_the_link(deployment: Deployment, edge: EdgeNode) -> Background:
    server = inference_containers(deployment, edge)[0]

    def as_soon_as_the_link_is_cut() -> bool:
        if not edge.link.is_cut():
            return False
        edge.kill_container(server)
        return True

    return Background(as_soon_as_the_link_is_cut)


def test_lod_001_fails_where_the_server_dies_with_the_link(
    child: Child, deployment: Deployment, edge: EdgeNode
) -> None:
    with _server_that_dies_with_the_link(deployment, edge) as breakage:
        run = child.run("LOD-001", room="loadtests", changes={**SHORT, "load.linkCut_s": 6})
    assert breakage.done, run.output
    run.assert_failed("requests failed")


def test_lod_002_fails_without_dynamic_batching(
    child: Child, edge: EdgeNode, profile: Profile
) -> None:
    def unbatched(config: dict[str, Any]) -> None:
        del config["dynamic_batching"]

    with reconfigured(edge.endpoint, profile.load.model, unbatched):
        run = child.run("LOD-002", room="loadtests")
    run.assert_failed("none was batched")


def test_cha_001_fails_where_the_server_dies_with_the_link(
    child: Child, deployment: Deployment, edge: EdgeNode
) -> None:
    with _server_that_dies_with_the_link(deployment, edge) as breakage:
        run = child.run("CHA-001", room="chaos", changes={**SHORT, "load.flap.cycles": 2})
    assert breakage.done, run.output
    run.assert_failed("requests failed")


def test_cha_002_fails_where_the_server_is_away_for_longer_than_claimed(
    child: Child, edge: EdgeNode
) -> None:
    assert Capability.KILL_CONTAINER in edge.capabilities
    run = child.run("CHA-002", room="chaos", changes={**SHORT, "thresholds.maxOutage_s": 0.5})
    run.assert_failed("a right answer from", "not within 0.5 s")
