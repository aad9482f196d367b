"""A small real server that speaks the Open Inference Protocol over HTTP and can be disturbed.

It answers one model, ``doubler`` (OUTPUT = 2 * INPUT), over real sockets. It is there for what a
healthy Triton does not do on request: stall, go away, and give wrong answers.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import numpy as np

from fixtures.target import Endpoint, GoldenSample

MODEL = "doubler"
WIDTH = 8
_GATE_LIMIT_S = 30.0


def golden(model: str) -> tuple[GoldenSample, ...]:
    """Three samples of the model."""
    assert model == MODEL
    inputs = [np.arange(WIDTH, dtype=np.float32) + shift for shift in (0, 10, 20)]
    return tuple(
        GoldenSample(MODEL, {"INPUT": one}, {"OUTPUT": one * np.float32(2)}, 1e-6) for one in inputs
    )


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body in one segment: else Nagle and delayed ACK add 40 ms to each answer.
    wbufsize = -1
    gate: ClassVar[threading.Event]
    factor: ClassVar[list[float]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.gate.wait(_GATE_LIMIT_S)
        header_length = int(self.headers["Inference-Header-Content-Length"])
        tensor = json.loads(body[:header_length])["inputs"][0]
        values = np.frombuffer(body[header_length:], np.float32) * np.float32(self.factor[0])
        output = {
            "name": "OUTPUT",
            "datatype": "FP32",
            "shape": tensor["shape"],
            "parameters": {"binary_data_size": values.nbytes},
        }
        header = json.dumps({"model_name": MODEL, "outputs": [output]}).encode()
        self.send_response(200)
        self.send_header("Inference-Header-Content-Length", str(len(header)))
        self.send_header("Content-Length", str(len(header) + values.nbytes))
        self.end_headers()
        self.wfile.write(header + values.tobytes())
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        """No access log."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, handler: type[_Handler]) -> None:
        self.sockets: set[object] = set()
        super().__init__(("127.0.0.1", port), handler)

    def process_request(self, request, client_address) -> None:  # type: ignore[no-untyped-def]
        self.sockets.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request) -> None:  # type: ignore[no-untyped-def]
        self.sockets.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request, client_address) -> None:  # type: ignore[no-untyped-def]
        """A client that went away is no news."""


class DisturbedServer:
    """The server, with its disturbances."""

    name = "here"

    def __init__(self) -> None:
        self._gate = threading.Event()
        self._gate.set()
        self._factor = [2.0]
        self._handler = type("Handler", (_Handler,), {"gate": self._gate, "factor": self._factor})
        self._server: _Server | None = None
        self._port = 0
        self.up()

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint("127.0.0.1", self._port, 0, 0, (MODEL,))

    @property
    def is_up(self) -> bool:
        return self._server is not None

    def up(self) -> None:
        if self._server is None:
            self._server = _Server(self._port, self._handler)
            self._port = self._server.server_address[1]
            threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def down(self) -> None:
        """Close the listening socket and every connection, as the death of a process does."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.shutdown()
        server.server_close()
        for one in list(server.sockets):
            server.shutdown_request(one)

    @contextmanager
    def stalled(self) -> Iterator[None]:
        """Accept requests, but answer them only at the end of the block."""
        self._gate.clear()
        try:
            yield
        finally:
            self._gate.set()

    @contextmanager
    def wrong(self) -> Iterator[None]:
        """Answer with status 200 and wrong numbers."""
        self._factor[0] = 3.0
        try:
            yield
        finally:
            self._factor[0] = 2.0
