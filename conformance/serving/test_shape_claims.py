"""Serving: a shape that claims more than any machine has."""

from __future__ import annotations

import json
from contextlib import closing

import pytest

from conformance.catalogue import requirement
from conformance.errors import AnswerError
from conformance.explain import explain
from conformance.inference import HttpClient, prepare
from conformance.serving.http_channel import error_of, infer_path
from fixtures.profile import Profile
from fixtures.target import Deployment, EdgeNode, GoldenSample, wait_until

_ELEMENTS = 2**62
_PATIENCE_S = 30.0


def _wait_for_a_right_answer(edge: EdgeNode, sample: GoldenSample, timeout_s: float) -> None:
    client = HttpClient(edge.endpoint)
    good = prepare(sample, binary=False)

    def ask() -> bool:
        client.ask(good)
        return True

    with closing(client):
        wait_until(
            f"a right answer of {sample.model} on {edge.name}",
            ask,
            bool,
            timeout_s,
            expected=(AnswerError,),
        )


@requirement(
    id="SRV-069",
    level="MUST",
    family="serving",
    since="0.2",
    sentence="A request whose shape claims more elements than any machine can hold MUST be refused "
    "with an error, and the server go on.",
    why="One short request from anywhere on the LAN must not end inference for the site.",
    source="Open Inference Protocol (V2): tensor shapes; docs/findings/triton-http-shape-claims.md",
)
@pytest.mark.oip
@pytest.mark.disturbs
def test_shape_beyond_any_memory(edge: EdgeNode, deployment: Deployment, profile: Profile) -> None:
    """Send three numbers that say they are 2^62; then see that the server goes on."""
    sample = deployment.golden(profile.load.model)[0]
    name = next(iter(sample.inputs))
    entry = {"name": name, "shape": [1, _ELEMENTS], "datatype": "FP32", "data": [1.0, 2.0, 3.0]}
    client = HttpClient(edge.endpoint, _PATIENCE_S)
    wrong = []
    try:
        answer = client.send(
            "POST", infer_path(sample.model), json.dumps({"inputs": [entry]}).encode()
        )
        if answer.status < 400 or error_of(answer.data) is None:
            wrong.append(f"HTTP {answer.status}: {answer.data[:200]!r}")
        live = client.send("GET", "v2/health/live").status
        if live != 200:
            wrong.append(f"live after it: HTTP {live}")
    except AnswerError as error:
        wrong.append(f"no answer: {error}")
    finally:
        client.close()
    # A server that ended is back before the next test, whatever this one says.
    _wait_for_a_right_answer(edge, sample, profile.thresholds.container_restart_s)
    assert not wrong, explain(
        promised=f"{edge.name} refuses a shape of {_ELEMENTS} elements, and serves on",
        seen="; ".join(wrong),
        since="the request arrived",
        look="the server's log, and the restarts of its container",
    )
