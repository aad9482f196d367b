"""Serving: the Open Inference Protocol, spoken rightly by the server of every edge node."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import cycle, islice

import pytest
from tritonclient.utils import np_to_triton_dtype

from conformance.catalogue import requirement
from conformance.errors import AnswerError
from conformance.explain import explain
from conformance.inference import HttpClient, golden_samples, prepare
from conformance.observe import observe_until
from conformance.serving.extensions import BINARY_TENSORS, listed_extensions
from conformance.serving.grpc_client import grpc_client
from conformance.serving.malformed import malformed_requests
from conformance.serving.metrics import BatchCounters, read_counters
from fixtures.profile import Profile
from fixtures.target import Deployment, EdgeNode, Evidence, GoldenSample

CONCURRENT_REQUESTS = 64
COUNTERS_LAG_S = 15.0
BATCHING_ROUNDS = 5
_HTTP_SOURCE = "Open Inference Protocol (V2), HTTP/REST"
_LOOK = "the inference server's log on the node, and its model repository"


def _status(http: HttpClient, path: str) -> str:
    try:
        return str(http.send("GET", path).status)
    except AnswerError as error:
        return str(error)


@requirement(
    id="SRV-001",
    level="MUST",
    family="serving",
    since="0.1",
    sentence="The inference server MUST report live, ready, and every claimed model ready, over "
    "HTTP and gRPC alike.",
    why="Probes, load balancers and operators act on these answers alone.",
    source="Open Inference Protocol (V2): health APIs",
)
@pytest.mark.oip
def test_health(edge: EdgeNode, http: HttpClient) -> None:
    """Ask every health API over both protocols."""
    endpoint = edge.endpoint
    seen = {
        "HTTP live": _status(http, "v2/health/live"),
        "HTTP ready": _status(http, "v2/health/ready"),
    } | {
        f"HTTP model {model} ready": _status(http, f"v2/models/{model}/ready")
        for model in endpoint.models
    }
    wrong = {what: f"HTTP {status}" for what, status in seen.items() if status != "200"}
    with grpc_client(endpoint) as client:
        answers = {
            "gRPC live": client.live(),
            "gRPC ready": client.ready(),
        } | {f"gRPC model {model} ready": client.model_ready(model) for model in endpoint.models}
    wrong |= {what: "no" for what, answer in answers.items() if not answer}
    assert endpoint.models, f"the profile claims no model for {edge.name}"
    assert not wrong, explain(
        promised=f"the server of {edge.name} and its models "
        f"{', '.join(endpoint.models)} are live and ready",
        seen="; ".join(f"{what}: {status}" for what, status in wrong.items()),
        since="the test asked, with nothing disturbed",
        look=_LOOK,
    )


Tensors = dict[str, tuple[str, tuple[int, ...]]]


def _wanted(samples: Iterable[GoldenSample]) -> tuple[Tensors, Tensors]:
    """Inputs and outputs that the samples of one model call for, with a free batch size."""
    inputs: Tensors = {}
    outputs: Tensors = {}
    for sample in samples:
        for side, arrays in ((inputs, sample.inputs), (outputs, sample.outputs)):
            for name, array in arrays.items():
                side[name] = (np_to_triton_dtype(array.dtype), (-1, *array.shape))
    return inputs, outputs


def _tensors(entries: list[dict[str, object]]) -> Tensors:
    return {
        str(entry["name"]): (str(entry["datatype"]), tuple(json.loads(str(entry["shape"]))))
        for entry in entries
    }


@requirement(
    id="SRV-002",
    level="MUST",
    family="serving",
    since="0.1",
    sentence="Server and model metadata MUST give the names, datatypes and shapes of the claimed "
    "models, the same over HTTP and gRPC.",
    why="Clients are built from the metadata; a silent change of a model breaks them in the field.",
    source="Open Inference Protocol (V2): server metadata, model metadata",
)
@pytest.mark.oip
def test_metadata(edge: EdgeNode, http: HttpClient, deployment: Deployment) -> None:
    """Compare the metadata of both protocols to the golden samples' tensors."""
    endpoint = edge.endpoint
    server = json.loads(http.send("GET", "v2").data)
    missing = [key for key in ("name", "version", "extensions") if key not in server]
    assert not missing, f"{edge.name}: server metadata lacks {', '.join(missing)}: {server}"
    with grpc_client(endpoint) as client:
        assert client.server_name() == server["name"], (
            f"{edge.name}: the server is {server['name']!r} over HTTP, "
            f"{client.server_name()!r} over gRPC"
        )
        for model in endpoint.models:
            wanted = _wanted(deployment.golden(model))
            response = http.send("GET", f"v2/models/{model}")
            assert response.status == 200, (
                f"{edge.name}: metadata of {model}: HTTP {response.status}: {response.data[:300]!r}"
            )
            found = json.loads(response.data)
            assert found["name"] == model
            over_http = (_tensors(found["inputs"]), _tensors(found["outputs"]))
            for protocol, seen in (("HTTP", over_http), ("gRPC", client.tensors(model))):
                assert seen == wanted, explain(
                    promised=f"{model} has inputs and outputs {wanted}",
                    seen=f"{protocol} says {seen}",
                    since=f"the model's present version was loaded on {edge.name}",
                    look="config.pbtxt of the model in the server's repository",
                )


@requirement(
    id="SRV-003",
    level="MUST",
    family="serving",
    since="0.1",
    sentence="Inference over HTTP MUST give the right numbers with JSON, and with binary tensors "
    "too where the server's metadata lists that extension.",
    why="An answer of status 200 with wrong numbers is worse than none.",
    source=f"{_HTTP_SOURCE}: inference; binary tensor data extension",
)
@pytest.mark.oip
def test_http_answers_are_right(
    edge: EdgeNode, http: HttpClient, deployment: Deployment, evidence: Evidence
) -> None:
    """Ask every golden sample of every model, in every encoding that the server speaks."""
    samples = golden_samples(deployment, edge.endpoint)
    encodings = (False, True) if BINARY_TENSORS in listed_extensions(http) else (False,)
    wrong = []
    for sample in samples:
        for binary in encodings:
            try:
                http.ask(prepare(sample, binary=binary))
            except AnswerError as error:
                wrong.append(f"{'binary' if binary else 'JSON'}: {error}")
    evidence.value(f"{edge.name} golden samples over HTTP", len(samples))
    evidence.value(f"{edge.name} binary tensors asked", True in encodings)
    assert samples, f"{edge.name}: there is no golden sample of {edge.endpoint.models}"
    assert not wrong, _wrong_answers(edge, "HTTP", wrong)


def _wrong_answers(edge: EdgeNode, protocol: str, wrong: list[str]) -> str:
    return explain(
        promised=f"the models of {edge.name} answer their golden samples rightly over {protocol}",
        seen=f"{len(wrong)} wrong; " + "; ".join(wrong[:3]),
        since="the models' present versions were loaded",
        look=_LOOK,
    )


@requirement(
    id="SRV-004",
    level="MUST",
    family="serving",
    since="0.1",
    sentence="Inference over gRPC MUST give the right numbers.",
    why="High-rate clients use gRPC; its code path in the server is another one.",
    source="Open Inference Protocol (V2), gRPC: ModelInfer",
)
@pytest.mark.oip
def test_grpc_answers_are_right(edge: EdgeNode, deployment: Deployment, evidence: Evidence) -> None:
    """Ask every golden sample of every model."""
    samples = golden_samples(deployment, edge.endpoint)
    wrong = []
    with grpc_client(edge.endpoint) as client:
        for sample in samples:
            try:
                client.ask(sample)
            except AnswerError as error:
                wrong.append(str(error))
    evidence.value(f"{edge.name} golden samples over gRPC", len(samples))
    assert samples, f"{edge.name}: there is no golden sample of {edge.endpoint.models}"
    assert not wrong, _wrong_answers(edge, "gRPC", wrong)


def _grown(edge: EdgeNode, model: str, before: BatchCounters, sent: int) -> BatchCounters:
    """Growth of the counters once they hold all requests sent: they lag behind the answers."""
    counted = observe_until(
        lambda: read_counters(edge.endpoint, model).since(before),
        lambda grown: grown.requests >= sent,
        COUNTERS_LAG_S,
    )
    assert counted.accepted, explain(
        promised=f"every request to {model} is counted",
        seen=f"{sent} were answered, {counted.value.requests} counted",
        since=f"{counted.seconds:.0f} s after the last answer",
        look=f"{edge.endpoint.metrics_url}, nv_inference_request_success",
    )
    return counted.value


@requirement(
    id="SRV-005",
    level="MUST",
    family="serving",
    since="0.1",
    sentence="Requests that arrive at once MUST be put into common batches: fewer executions than "
    "requests, by the server's own counters.",
    why="Without batching an accelerator does a fraction of the work that it was bought for.",
    source="Triton Inference Server documentation: Dynamic Batcher; Metrics",
)
@pytest.mark.triton_extension
def test_dynamic_batching_by_the_counters(
    edge: EdgeNode, deployment: Deployment, profile: Profile, evidence: Evidence
) -> None:
    """Send bursts and compare the growth of executions to that of requests."""
    model = profile.load.model
    burst = list(islice(cycle(deployment.golden(model)), CONCURRENT_REQUESTS))
    before = read_counters(edge.endpoint, model)
    sent = 0
    with grpc_client(edge.endpoint) as client:
        for _ in range(BATCHING_ROUNDS):
            client.ask_at_once(burst)
            sent += len(burst)
            grown = _grown(edge, model, before, sent)
            if grown.executions < grown.requests:
                break
    evidence.value(f"{edge.name} {model} requests", grown.requests)
    evidence.value(f"{edge.name} {model} executions", grown.executions)
    evidence.value(
        f"{edge.name} {model} mean batch", round(grown.inferences / max(1, grown.executions), 2)
    )
    assert grown.executions < grown.requests, explain(
        promised=f"{model} on {edge.name} batches requests that arrive at once",
        seen=f"{grown.requests} requests in bursts of {len(burst)} took {grown.executions} "
        "executions: one each",
        since="the model's present version was loaded",
        look="dynamic_batching and max_batch_size in the model's config.pbtxt",
    )


@requirement(
    id="SRV-006",
    level="MUST",
    family="serving",
    since="0.1",
    sentence="A malformed request MUST be refused in time with an HTTP error and an error object "
    "that says why, and leave the server up and answering rightly.",
    why="One faulty sensor must not take inference away from the whole site.",
    source=f"{_HTTP_SOURCE}: inference response JSON error object (status typically 400)",
)
@pytest.mark.oip
def test_malformed_requests_are_refused(
    edge: EdgeNode, http: HttpClient, deployment: Deployment, profile: Profile, evidence: Evidence
) -> None:
    """Send each kind of bad request, and a good one after each."""
    sample = deployment.golden(profile.load.model)[0]
    binary = BINARY_TENSORS in listed_extensions(http)
    good = prepare(sample, binary=binary)
    wrong = []
    statuses: dict[str, int] = {}
    for request in malformed_requests(sample, binary=binary):
        try:
            answer = http.send("POST", request.path, request.body, request.headers)
            statuses[request.fault] = answer.status
            if not 400 <= answer.status < 600 or not _says_why(answer.data):
                wrong.append(
                    f"{request.fault}: HTTP {answer.status} with body {answer.data[:120]!r}"
                )
            http.ask(good)
        except AnswerError as error:
            wrong.append(f"{request.fault}, or the good request after it: {error}")
            break
    live = _status(http, "v2/health/live")
    evidence.value(f"{edge.name} statuses of malformed requests", statuses)
    assert not wrong, explain(
        promised=f"the server of {edge.name} refuses bad requests with an error, and serves on",
        seen="; ".join(wrong),
        since="the first bad request of this test",
        look=_LOOK,
    )
    assert live == "200", f"{edge.name}: the server is not live after the bad requests: {live}"


def _says_why(body: bytes) -> bool:
    """Whether the body is the protocol's error object."""
    try:
        document = json.loads(body)
    except ValueError:
        return False
    return isinstance(document, dict) and bool(document.get("error"))
