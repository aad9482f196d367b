"""A proxy before a real inference server that does exactly one thing wrong, or nothing."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import grpc
import urllib3
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from tritonclient.grpc import service_pb2

from fixtures.target import Endpoint

_LOCAL = "127.0.0.1"
_TIMEOUT_S = 60.0
_THREADS = 64
_SERVICE = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
_HOP_BY_HOP = frozenset({"connection", "transfer-encoding", "keep-alive", "host", "content-length"})


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What a client sent."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class HttpReply:
    """What it gets."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Corruption:
    """What is done to messages on their way; None leaves them as they are.

    The gRPC functions get the method's name and change the parsed message in place; the one for
    responses also gets the request. ``metrics`` changes the text of the metrics page.
    """

    http_request: Callable[[HttpRequest], HttpRequest] | None = None
    http_reply: Callable[[HttpRequest, HttpReply], HttpReply] | None = None
    grpc_request: Callable[[str, Any], None] | None = None
    grpc_reply: Callable[[str, Any, Any], None] | None = None
    metrics: Callable[[str], str] | None = None
    cancels: bool = True


HONEST = Corruption()
Present = Callable[[], Corruption]


@contextmanager
def proxied(endpoint: Endpoint, present: Present) -> Iterator[Endpoint]:
    """An endpoint of this machine that passes everything on to the real one.

    ``present`` is asked at each message which corruption is in force.
    """
    with (
        _http(endpoint.http_url, present) as http_port,
        _http(endpoint.metrics_url.removesuffix("/metrics"), present) as metrics_port,
        _grpc(endpoint.grpc_address, present) as grpc_port,
    ):
        yield replace(
            endpoint,
            host=_LOCAL,
            http_port=http_port,
            grpc_port=grpc_port,
            metrics_port=metrics_port,
        )


@contextmanager
def _http(upstream: str, present: Present) -> Iterator[int]:
    pool = urllib3.PoolManager(retries=False, timeout=_TIMEOUT_S, maxsize=_THREADS)
    server = ThreadingHTTPServer((_LOCAL, 0), functools.partial(_Handler, upstream, pool, present))
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, name="http-proxy", daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        pool.clear()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(
        self, upstream: str, pool: urllib3.PoolManager, present: Present, *arguments: Any
    ) -> None:
        self._upstream = upstream
        self._pool = pool
        self._present = present
        super().__init__(*arguments)

    def _pass_on(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:
            # The client left in the middle of its request, and so does the proxy.
            self.close_connection = True
            return
        request = HttpRequest(self.command, self.path, _end_to_end(self.headers.items()), body)
        corruption = self._present()
        if corruption.http_request is not None:
            request = corruption.http_request(request)
        answer = self._pool.request(
            request.method,
            self._upstream + request.path,
            body=request.body,
            headers=request.headers,
        )
        reply = HttpReply(answer.status, _end_to_end(answer.headers.items()), answer.data)
        if corruption.metrics is not None and request.path == "/metrics":
            reply = replace(reply, body=corruption.metrics(reply.body.decode()).encode())
        if corruption.http_reply is not None:
            reply = corruption.http_reply(request, reply)
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    do_GET = do_POST = do_PUT = _pass_on  # noqa: N815 - the names that http.server calls

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing: what matters is what the client sees."""


def _end_to_end(headers: Any) -> dict[str, str]:
    return {name: value for name, value in headers if name.lower() not in _HOP_BY_HOP}


@contextmanager
def _grpc(upstream: str, present: Present) -> Iterator[int]:
    unlimited = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
    with grpc.insecure_channel(upstream, options=unlimited) as channel:
        server = grpc.server(futures.ThreadPoolExecutor(_THREADS), options=unlimited)
        server.add_generic_rpc_handlers((_Calls(channel, present),))
        port = server.add_insecure_port(f"{_LOCAL}:0")
        server.start()
        try:
            yield port
        finally:
            server.stop(grace=None).wait()


class _Calls(grpc.GenericRpcHandler):  # type: ignore[type-arg] # generic in the stubs only
    def __init__(self, channel: grpc.Channel, present: Present) -> None:
        self._channel = channel
        self._present = present

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        path = details.method
        name = path.rpartition("/")[2]
        if name == "ModelStreamInfer":
            return grpc.stream_stream_rpc_method_handler(functools.partial(self._stream, path))
        return grpc.unary_unary_rpc_method_handler(functools.partial(self._unary, path, name))

    def _unary(self, path: str, name: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        corruption = self._present()
        sent = _parsed(name, request, reply=False)
        if sent is not None and corruption.grpc_request is not None:
            corruption.grpc_request(name, sent)
            request = sent.SerializeToString()
        # Without the caller's deadline, if cancelling is what the proxy keeps to itself.
        deadline = context.time_remaining() if corruption.cancels else None
        call = self._channel.unary_unary(path, bytes, bytes).future(request, timeout=deadline)
        if corruption.cancels:
            context.add_callback(call.cancel)
        try:
            answer: bytes = call.result()
        except grpc.FutureCancelledError:
            context.abort(grpc.StatusCode.CANCELLED, "cancelled by the client")
        except grpc.RpcError as error:
            context.abort(error.code(), str(error.details()))
        reply = _parsed(name, answer, reply=True)
        if reply is None or sent is None or corruption.grpc_reply is None:
            return answer
        corruption.grpc_reply(name, sent, reply)
        return bytes(reply.SerializeToString())

    def _stream(
        self, path: str, requests: Iterator[bytes], context: grpc.ServicerContext
    ) -> Iterator[bytes]:
        name = path.rpartition("/")[2]
        corruption = self._present()
        call = self._channel.stream_stream(path, bytes, bytes)(
            requests, timeout=context.time_remaining()
        )
        context.add_callback(call.cancel)
        try:
            for answer in call:
                reply = _parsed(name, answer, reply=True)
                if reply is not None and corruption.grpc_reply is not None:
                    corruption.grpc_reply(name, None, reply)
                    yield bytes(reply.SerializeToString())
                else:
                    yield answer
        except grpc.RpcError as error:
            context.abort(error.code(), str(error.details()))


def _parsed(name: str, content: bytes, *, reply: bool) -> Message | None:
    """The message, or None where it is none: malformed requests pass as they are."""
    if name not in _SERVICE.methods_by_name:
        return None
    method = _SERVICE.methods_by_name[name]
    try:
        return GetMessageClass(method.output_type if reply else method.input_type).FromString(
            content
        )
    except DecodeError:
        return None
