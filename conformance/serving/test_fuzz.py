"""Serving: malformed requests of every kind, over every protocol, and a good one after each."""

from __future__ import annotations

import socket
from collections import Counter
from contextlib import closing

import grpc
import pytest

from conformance.catalogue import requirement
from conformance.errors import AnswerError
from conformance.explain import explain
from conformance.inference import REQUEST_TIMEOUT_S, HttpClient
from conformance.serving.fuzz import Malformed, malformed, numbers
from conformance.serving.grpc_channel import GrpcChannel, GrpcServer
from conformance.serving.http_channel import error_of, infer_path
from conformance.serving.messages import Ask, Channel
from fixtures.target import EdgeNode, Endpoint, Evidence

# A server may well look for the gibibyte that a request claims before it refuses.
_PATIENCE_S = 30.0
_SERVICE = "/inference.GRPCInferenceService/"
_GRPC_REFUSALS = frozenset({"INVALID_ARGUMENT", "NOT_FOUND", "OUT_OF_RANGE", "UNIMPLEMENTED"})
# What gRPC itself says of bytes that are no message.
_UNREADABLE = frozenset({"INTERNAL"})
# 500 and 501 besides: the protocol says no more than "typically 400", and Triton says 500 where
# its JSON reader stumbles. How many there were is in the evidence.
_HTTP_REFUSALS = frozenset({*range(400, 500), 500, 501})


def _http_problem(http: HttpClient, request: Malformed, model: str) -> tuple[str, str | None]:
    """The status, and what is wrong with it."""
    answer = http.send("POST", infer_path(model), request.body, request.headers)
    if answer.status not in _HTTP_REFUSALS:
        return str(answer.status), f"HTTP {answer.status}: {answer.data[:120]!r}"
    if error_of(answer.data) is None:
        return str(answer.status), f"HTTP {answer.status} without a reason: {answer.data[:120]!r}"
    return str(answer.status), None


def _grpc_problem(channel: grpc.Channel, request: Malformed) -> tuple[str, str | None]:
    call = channel.unary_unary(_SERVICE + request.method, bytes, bytes)
    try:
        answer = call(request.body, timeout=REQUEST_TIMEOUT_S)
    except grpc.RpcError as error:
        code = error.code().name
        if code in _GRPC_REFUSALS | _UNREADABLE:
            return code, None
        return code, f"{code}: {error.details()}"
    return "OK", f"answered with {len(answer)} bytes"


def _leave_torn(endpoint: Endpoint, request: Malformed, model: str) -> None:
    """Send the request up to its middle, and leave."""
    address = (endpoint.host, endpoint.http_port)
    headers = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    head = f"POST /{infer_path(model)} HTTP/1.1\r\nHost: {endpoint.host}\r\n{headers}\r\n"
    with socket.create_connection(address, timeout=REQUEST_TIMEOUT_S) as connection:
        connection.sendall(head.encode() + request.body)


def _good_problem(channel: Channel, model: str) -> str | None:
    """What is wrong with the answer to a good request."""
    sent = numbers()
    try:
        found = channel.infer(Ask(model, (sent,))).output("OUT_FP32")
    except AnswerError as error:
        return f"the good request after it: {error}"
    return None if found.same_as(sent) else f"the good request after it: {found.describe()}"


@requirement(
    id="SRV-029",
    level="MUST",
    family="serving",
    since="0.2",
    sentence="Each of more than a hundred malformed requests MUST be refused with an error of the "
    "request's protocol, and the next good request be answered rightly.",
    why="Whatever a broken client or a scanner sends, the other machines of the site go on.",
    source="Open Inference Protocol (V2): errors over HTTP and gRPC; fuzzing with a fixed seed",
)
@pytest.mark.triton_extension
def test_fuzzed_requests(
    edge: EdgeNode,
    http_json: Channel,
    grpc_service: GrpcServer,
    types_model: str,
    evidence: Evidence,
) -> None:
    """Send every malformed request, and after each a good one over the same protocol."""
    statuses: Counter[str] = Counter()
    wrong = []
    good = {"HTTP": http_json, "gRPC": GrpcChannel(grpc_service)}
    http = HttpClient(edge.endpoint, _PATIENCE_S)
    with closing(http), grpc.insecure_channel(edge.endpoint.grpc_address) as channel:
        for request in malformed(types_model):
            problem: str | None = None
            try:
                if request.torn:
                    status = "left"
                    _leave_torn(edge.endpoint, request, types_model)
                elif request.protocol == "HTTP":
                    status, problem = _http_problem(http, request, types_model)
                else:
                    status, problem = _grpc_problem(channel, request)
            except (AnswerError, OSError) as error:
                status, problem = "none", str(error)
            statuses[status] += 1
            after = _good_problem(good[request.protocol], types_model)
            wrong += [f"{request.what}: {found}" for found in (problem, after) if found]
            if after is not None:
                break
    evidence.value(f"{edge.name} answers to malformed requests", dict(sorted(statuses.items())))
    assert not wrong, explain(
        promised=f"{edge.name} refuses every malformed request, and serves on",
        seen=f"{len(wrong)} wrong of {statuses.total()} sent; " + "; ".join(wrong[:5]),
        since="the first malformed request",
        look="the server's log on the node",
    )
