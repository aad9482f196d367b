"""Clients of the Open Inference Protocol under gevent, over HTTP and gRPC.

Requests are encoded once, before the run; every answer is compared with the right one. There are
no retries: each request is tried once and its failure is the sample. After an outage HTTP makes a
new connection with the next request, so the arrival rate bounds the attempts; a gRPC channel
connects anew with a back-off of at most ``GRPC_MAX_BACKOFF_MS``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import quote

import gevent
import numpy as np
from geventhttpclient import HTTPClient
from geventhttpclient.response import HTTPConnectionClosed, HTTPParseError, HTTPResponse
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput, InferResult
from tritonclient.utils import InferenceServerException, np_to_triton_dtype, triton_to_np_dtype

from fixtures.target import Array
from loadtests.golden import GoldenBatch
from loadtests.payloads import Payload
from loadtests.records import Outcome
from loadtests.spec import Protocol as WireProtocol

GRPC_MAX_BACKOFF_MS: Final = 250
_HEADER_LENGTH: Final = "Inference-Header-Content-Length"
_HTTP_OK: Final = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one request; ``detail`` says why it was not right."""

    outcome: Outcome
    status: int = 0
    response_bytes: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Server:
    """Where and how requests are sent: ``timeout_s`` bounds one, ``connections`` all at once."""

    protocol: WireProtocol
    host: str
    port: int
    timeout_s: float
    connections: int


class InferenceClient(Protocol):
    """Sends payloads and judges the answers; many greenlets use one client."""

    def infer(self, index: int) -> Answer:
        """Send payload ``index`` once."""

    def close(self) -> None:
        """Close the connections."""


def connect(server: Server, payloads: Sequence[Payload]) -> InferenceClient:
    """A client of the server; connections are made with the first request."""
    if server.protocol == "http":
        return HttpInferenceClient(server, payloads)
    return GrpcInferenceClient(server, payloads)


def judge(
    expected: Mapping[str, Array],
    found: Mapping[str, Array | None],
    atol: float,
    status: int,
    response_bytes: int,
) -> Answer:
    """Whether an answer's tensors are the right ones."""
    for name, right in expected.items():
        tensor = found.get(name)
        if tensor is None:
            detail = f"output {name} is missing"
        elif tensor.shape != right.shape:
            detail = f"output {name} has shape {tensor.shape}, expected {right.shape}"
        elif not np.allclose(tensor, right, atol=atol):
            detail = f"output {name} is wrong, beyond a tolerance of {atol:g}"
        else:
            continue
        return Answer(Outcome.WRONG_ANSWER, status, response_bytes, detail)
    return Answer(Outcome.OK, status, response_bytes)


class HttpInferenceClient:
    """HTTP with the binary tensor extension."""

    def __init__(self, server: Server, payloads: Sequence[Payload]) -> None:
        self._timeout_s = server.timeout_s
        self._payloads = payloads
        self._requests = [
            (f"/v2/models/{quote(payload.model)}/infer", *_http_request(payload.batch))
            for payload in payloads
        ]
        self._http = HTTPClient(
            server.host,
            server.port,
            concurrency=server.connections,
            connection_timeout=server.timeout_s,
            network_timeout=server.timeout_s,
        )

    def infer(self, index: int) -> Answer:
        """Send payload ``index`` once; the time-out covers connecting, sending, reading."""
        uri, body, headers = self._requests[index]
        limit = gevent.Timeout(self._timeout_s)
        try:
            with limit:
                response = self._http.post(uri, body=body, headers=headers)
                content = bytes(response.read())
        except gevent.Timeout as expired:
            if expired is not limit:
                raise
            return Answer(Outcome.TIMEOUT, detail=f"no answer within {self._timeout_s:g} s")
        except TimeoutError as error:
            return Answer(Outcome.TIMEOUT, detail=f"no answer: {error}")
        except HTTPParseError as error:
            return Answer(Outcome.MALFORMED, detail=f"not HTTP: {error}")
        except (OSError, HTTPConnectionClosed) as error:
            return Answer(Outcome.CONNECTION, detail=f"{type(error).__name__}: {error}")
        return self._read(response, content, self._payloads[index])

    def _read(self, response: HTTPResponse, content: bytes, payload: Payload) -> Answer:
        status = int(response.get_code())
        if status != _HTTP_OK:
            text = content[:200].decode("utf-8", "replace")
            return Answer(Outcome.SERVER_ERROR, status, len(content), f"HTTP {status}: {text}")
        header_length = response.get(_HEADER_LENGTH)
        try:
            result = InferResult.from_response_body(
                content, header_length=None if header_length is None else int(str(header_length))
            )
            tensors = {name: result.as_numpy(name) for name in payload.batch.outputs}
        except (ValueError, KeyError, TypeError, InferenceServerException) as error:
            return Answer(Outcome.MALFORMED, status, len(content), f"not an answer: {error}")
        return judge(payload.batch.outputs, tensors, payload.atol, status, len(content))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


class GrpcInferenceClient:
    """gRPC over one channel, under gevent."""

    def __init__(self, server: Server, payloads: Sequence[Payload]) -> None:
        # Only here: grpc must be told of gevent before its first channel, and HTTP needs none.
        import grpc
        from grpc.experimental import gevent as grpc_gevent  # type: ignore[attr-defined]
        from tritonclient.grpc import service_pb2, service_pb2_grpc

        grpc_gevent.init_gevent()
        self._rpc_error = grpc.RpcError
        self._codes = grpc.StatusCode
        self._payloads = payloads
        self._timeout_s = server.timeout_s
        self._requests = [
            _grpc_request(service_pb2, payload.model, payload.batch) for payload in payloads
        ]
        self._channel = grpc.insecure_channel(
            f"{server.host}:{server.port}",
            options=[
                ("grpc.initial_reconnect_backoff_ms", GRPC_MAX_BACKOFF_MS // 2),
                ("grpc.min_reconnect_backoff_ms", GRPC_MAX_BACKOFF_MS),
                ("grpc.max_reconnect_backoff_ms", GRPC_MAX_BACKOFF_MS),
                ("grpc.enable_retries", 0),
            ],
        )
        self._infer = service_pb2_grpc.GRPCInferenceServiceStub(self._channel).ModelInfer

    def infer(self, index: int) -> Answer:
        """Send payload ``index`` once."""
        payload = self._payloads[index]
        try:
            response = self._infer(self._requests[index], timeout=self._timeout_s)
        except self._rpc_error as error:
            code = error.code()
            kind = {
                self._codes.DEADLINE_EXCEEDED: Outcome.TIMEOUT,
                self._codes.UNAVAILABLE: Outcome.CONNECTION,
            }.get(code, Outcome.SERVER_ERROR)
            return Answer(kind, int(code.value[0]), 0, f"{code.name}: {error.details()}")
        size = int(response.ByteSize())
        try:
            tensors = {
                output.name: np.frombuffer(raw, triton_to_np_dtype(output.datatype)).reshape(
                    tuple(output.shape)
                )
                for output, raw in zip(response.outputs, response.raw_output_contents, strict=True)
            }
        except (ValueError, TypeError) as error:
            return Answer(Outcome.MALFORMED, 0, size, f"not an answer: {error}")
        return judge(payload.batch.outputs, tensors, payload.atol, 0, size)

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()


def _http_request(batch: GoldenBatch) -> tuple[bytes, dict[str, str]]:
    inputs = []
    for name, array in batch.inputs.items():
        tensor = InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
        tensor.set_data_from_numpy(array, binary_data=True)
        inputs.append(tensor)
    outputs = [InferRequestedOutput(name, binary_data=True) for name in batch.outputs]
    body, json_bytes = InferenceServerClient.generate_request_body(inputs, outputs=outputs)
    headers = {"Content-Type": "application/octet-stream"}
    if json_bytes is not None:
        headers[_HEADER_LENGTH] = str(json_bytes)
    return bytes(body), headers


def _grpc_request(messages: object, model: str, batch: GoldenBatch) -> object:
    request = messages.ModelInferRequest(model_name=model)  # type: ignore[attr-defined]
    for name, array in batch.inputs.items():
        request.inputs.add(
            name=name, datatype=np_to_triton_dtype(array.dtype), shape=list(array.shape)
        )
        request.raw_input_contents.append(array.tobytes())
    for name in batch.outputs:
        request.outputs.add(name=name)
    return request
