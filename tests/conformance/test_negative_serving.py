"""Each serving requirement fails on a server that breaks it."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes import client

from conformance.serving.malformed import OVERSIZED_BATCH
from fixtures.profile import Profile
from fixtures.target import Deployment, EdgeNode
from tests.conformance.breakages import answering_zeros, reconfigured, unloaded
from tests.conformance.child import Child

pytestmark = pytest.mark.disturbs
MODEL = "identity"


@pytest.fixture
def edge(deployment: Deployment, core: client.CoreV1Api) -> EdgeNode:
    """The last edge node: the one that no other negative test breaks."""
    return tuple(deployment.edges.values())[-1]


def test_srv_001_fails_where_a_model_is_not_loaded(child: Child, edge: EdgeNode) -> None:
    with unloaded(edge.endpoint, MODEL):
        run = child.run("SRV-001", node=edge.name)
    run.assert_failed("are live and ready", f"HTTP model {MODEL} ready: HTTP 400")


def test_srv_002_fails_where_a_model_has_another_shape(child: Child, edge: EdgeNode) -> None:
    def narrower(config: dict[str, Any]) -> None:
        config["output"][0]["dims"] = ["8"]

    with reconfigured(edge.endpoint, MODEL, narrower):
        run = child.run("SRV-002", node=edge.name)
    run.assert_failed(f"{MODEL} has inputs and outputs", "(-1, 8)")


@pytest.mark.parametrize(
    ("requirement", "protocol"), [("SRV-003", "HTTP"), ("SRV-004", "gRPC")], ids=["http", "grpc"]
)
def test_srv_003_and_004_fail_where_answers_are_wrong(
    child: Child, edge: EdgeNode, requirement: str, protocol: str
) -> None:
    with answering_zeros(edge.endpoint, MODEL):
        run = child.run(requirement, node=edge.name)
    run.assert_failed(f"rightly over {protocol}", f"{MODEL}: wrong numbers in output OUTPUT")


def test_srv_005_fails_without_dynamic_batching(
    child: Child, edge: EdgeNode, profile: Profile
) -> None:
    def unbatched(config: dict[str, Any]) -> None:
        del config["dynamic_batching"]

    with reconfigured(edge.endpoint, profile.load.model, unbatched):
        run = child.run("SRV-005", node=edge.name)
    run.assert_failed("batches requests that arrive at once", "one each")


def test_srv_006_fails_where_a_bad_request_is_taken(
    child: Child, edge: EdgeNode, profile: Profile
) -> None:
    def insatiable(config: dict[str, Any]) -> None:
        config["max_batch_size"] = 4 * OVERSIZED_BATCH

    with reconfigured(edge.endpoint, profile.load.model, insatiable):
        run = child.run("SRV-006", node=edge.name)
    run.assert_failed("refuses bad requests", f"a batch of {OVERSIZED_BATCH}: HTTP 200")
