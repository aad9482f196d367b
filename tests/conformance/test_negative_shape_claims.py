"""SRV-069 fails on the reference deployment's own server, and passes where it is kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from kubernetes import client

from fixtures.profile import Profile
from fixtures.target import Deployment, EdgeNode
from tests.conformance.child import Child
from tests.conformance.corrupting_proxy import Corruption, HttpRequest
from tests.conformance.through_proxy import run_through_proxy

pytestmark = pytest.mark.disturbs
_BOUND = 2**40


@pytest.fixture
def edge(deployment: Deployment, core: client.CoreV1Api) -> EdgeNode:
    """The last edge node: the one that no other negative test breaks."""
    return tuple(deployment.edges.values())[-1]


def _bounded(request: HttpRequest) -> HttpRequest:
    """Make a shape that no machine can hold into one that the model does not have."""
    if not request.path.endswith("/infer") or str(2**62).encode() not in request.body:
        return request
    document = json.loads(request.body)
    for tensor in document["inputs"]:
        tensor["shape"] = [size if size < _BOUND else 1 for size in tensor["shape"]]
    return replace(request, body=json.dumps(document).encode())


def test_srv_069_passes_behind_a_gateway_that_bounds_shapes(
    profile: Profile, edge: EdgeNode, tmp_path: Path
) -> None:
    guarded = {"SRV-069": Corruption(http_request=_bounded)}
    run = run_through_proxy(profile, edge, tmp_path, ["SRV-069"], guarded)
    run.of("test_shape_beyond_any_memory").assert_passed()


def test_srv_069_fails_on_the_server_as_it_is(child: Child, edge: EdgeNode) -> None:
    run = child.run("SRV-069", node=edge.name)
    run.assert_failed("refuses a shape of", "no answer")
