"""What a client costs: ours beside NVIDIA's, against a server that does nothing.

The server (``loadtests.null_server``) is a process of its own on loopback. All take turns request
by request, one connection each, so that a noisy machine disturbs them alike. Ours compares every
answer with the right one; NVIDIA's is measured with and without that. *bare socket* sends a body of
the same size without any client: what server and loopback take by themselves.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager

import numpy as np
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput

from benchmarks.measurement import Benchmark, BenchmarkError, Measurement, percentile_us
from loadtests import null_answers
from loadtests.clients import HttpInferenceClient, Server
from loadtests.errors import GeneratorFailed
from loadtests.golden import GoldenBatch
from loadtests.payloads import Payload
from loadtests.records import Outcome

MODEL, INPUT, OUTPUT = "identity", "INPUT", "OUTPUT"
REQUESTS = 2_000
WARM_UP = 100
BATCH, ITEMS = 4, 16
_RECEIVE_BYTES = 65536


def benchmark() -> Benchmark:
    """Requests per second and latency of HTTP clients, one request at a time."""
    return Benchmark("client", "HTTP clients against a server that does nothing", _run)


def _run() -> Sequence[Measurement]:
    with null_server(golden()) as port, ExitStack() as stack:
        contestants = {
            "loadtests.clients": stack.enter_context(our_client(port)),
            "tritonclient.http": stack.enter_context(triton_client(port, compared=False)),
            "tritonclient.http, compared": stack.enter_context(triton_client(port, compared=True)),
            "bare socket": stack.enter_context(bare_socket(port)),
        }
        durations = take_turns(contestants, REQUESTS)
    return tuple(_figures(durations))


def take_turns(
    contestants: Mapping[str, Callable[[], None]], requests: int
) -> Mapping[str, list[int]]:
    """Let each send ``requests`` requests, in turn; gives nanoseconds of each request."""
    for send in contestants.values():
        for _ in range(WARM_UP):
            send()
    durations: dict[str, list[int]] = {name: [] for name in contestants}
    for _ in range(requests):
        for name, send in contestants.items():
            begin_ns = time.perf_counter_ns()
            send()
            durations[name].append(time.perf_counter_ns() - begin_ns)
    return durations


def golden() -> GoldenBatch:
    """The one request, and the answer that the server always gives."""
    values = np.arange(BATCH * ITEMS, dtype=np.float32).reshape(BATCH, ITEMS)
    return GoldenBatch({INPUT: values}, {OUTPUT: values})


@contextmanager
def null_server(batch: GoldenBatch) -> Iterator[int]:
    """The server in a process of its own; gives its port."""
    try:
        with null_answers.null_server("http", Payload(MODEL, batch, 0.0)) as port:
            yield port
    except GeneratorFailed as error:
        raise BenchmarkError(str(error)) from error


@contextmanager
def our_client(port: int) -> Iterator[Callable[[], None]]:
    """The client of our load generator: encoded once, every answer compared with the right one."""
    server = Server("http", "127.0.0.1", port, timeout_s=5.0, connections=1)
    client = HttpInferenceClient(server, (Payload(MODEL, golden(), 0.0),))
    with closing(client):

        def send() -> None:
            answer = client.infer(0)
            if answer.outcome is not Outcome.OK:
                raise BenchmarkError(f"our client: {answer.outcome.label}: {answer.detail}")

        yield send


@contextmanager
def triton_client(port: int, *, compared: bool) -> Iterator[Callable[[], None]]:
    """NVIDIA's client as its examples use it: encoded each time, the answer decoded.

    ``compared`` adds what ours does for every answer: to compare it with the right one.
    """
    batch = golden()
    values, right = batch.inputs[INPUT], batch.outputs[OUTPUT]
    with closing(InferenceServerClient(f"127.0.0.1:{port}")) as client:

        def send() -> None:
            tensor = InferInput(INPUT, [BATCH, ITEMS], "FP32")
            tensor.set_data_from_numpy(values, binary_data=True)
            wanted = [InferRequestedOutput(OUTPUT, binary_data=True)]
            found = client.infer(MODEL, [tensor], outputs=wanted).as_numpy(OUTPUT)
            if found is None or (compared and not np.allclose(found, right, atol=0.0)):
                raise BenchmarkError(f"tritonclient.http: the answer has no right {OUTPUT}")

        yield send


@contextmanager
def bare_socket(port: int) -> Iterator[Callable[[], None]]:
    """The bytes of a request written to a socket, and the answer's read; neither is looked at."""
    body = golden().inputs[INPUT].tobytes()
    head = f"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
    request = head.encode() + body
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(request)
        first = connection.recv(_RECEIVE_BYTES)
        end = first.index(b"\r\n\r\n") + 4
        length = int(first[:end].lower().split(b"content-length: ")[-1].split(b"\r\n")[0])
        size = end + length
        _receive(connection, size - len(first))

        def send() -> None:
            connection.sendall(request)
            _receive(connection, size)

        yield send


def _receive(connection: socket.socket, missing: int) -> None:
    while missing > 0:
        piece = connection.recv(_RECEIVE_BYTES)
        if not piece:
            raise BenchmarkError("bare socket: the server closed the connection")
        missing -= len(piece)


def _figures(durations: Mapping[str, list[int]]) -> Iterator[Measurement]:
    note = f"{REQUESTS} in turn, batch of {BATCH}"
    for name, one in durations.items():
        rate = len(one) / (sum(one) / 1e9)
        yield Measurement("client", "requests per second", name, rate, "1/s", note)
    for percent in (50, 99):
        for name, one in durations.items():
            value = percentile_us(one, percent)
            yield Measurement("client", f"latency, p{percent}", name, value, "us", note)
