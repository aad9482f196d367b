"""Asking an inference server the golden samples, once or all the while."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from types import TracebackType

import numpy as np
import tritonclient.http
import urllib3
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from conformance.errors import AnswerError
from fixtures.target import Array, Deployment, EdgeNode, Endpoint, GoldenSample, wait_until

REQUEST_TIMEOUT_S = 5.0
_POLL_INTERVAL_S = 0.1
_HEADER_LENGTH = "Inference-Header-Content-Length"


def golden_samples(deployment: Deployment, endpoint: Endpoint) -> tuple[GoldenSample, ...]:
    """Every golden sample of every model that the endpoint serves."""
    return tuple(sample for model in endpoint.models for sample in deployment.golden(model))


def check_answer(sample: GoldenSample, outputs: Mapping[str, Array]) -> None:
    """Compare an answer, without its batch dimension, to what the sample says.

    Raises:
        AnswerError: it names the output, and what was expected and found.
    """
    missing = sorted(set(sample.outputs) - set(outputs))
    if missing:
        raise AnswerError(f"{sample.model}: the answer lacks the output {', '.join(missing)}")
    for name, wanted in sample.outputs.items():
        found = outputs[name]
        if found.dtype != wanted.dtype or found.shape != wanted.shape:
            raise AnswerError(
                f"{sample.model}: output {name} is {found.dtype}{list(found.shape)}, "
                f"expected {wanted.dtype}{list(wanted.shape)}"
            )
        if not np.allclose(found, wanted, atol=sample.atol):
            raise AnswerError(
                f"{sample.model}: wrong numbers in output {name}: found {_head(found)}, "
                f"expected {_head(wanted)} (atol {sample.atol:g})"
            )


def _head(array: Array) -> str:
    return np.array2string(array.ravel()[:4], precision=5, separator=", ") + (
        f" and {array.size - 4} more" if array.size > 4 else ""
    )


@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """An Open Inference Protocol request over HTTP for one sample, encoded once."""

    sample: GoldenSample
    body: bytes
    headers: Mapping[str, str]


def prepare(sample: GoldenSample, *, binary: bool) -> PreparedRequest:
    """Encode a batch of one: as JSON, or with the binary tensor data extension."""
    inputs = []
    for name, array in sample.inputs.items():
        batch = array[np.newaxis, ...]
        tensor = tritonclient.http.InferInput(
            name, list(batch.shape), np_to_triton_dtype(batch.dtype)
        )
        tensor.set_data_from_numpy(batch, binary_data=binary)
        inputs.append(tensor)
    outputs = [
        tritonclient.http.InferRequestedOutput(name, binary_data=binary) for name in sample.outputs
    ]
    body, json_size = tritonclient.http.InferenceServerClient.generate_request_body(
        inputs, outputs=outputs
    )
    headers = {"Content-Type": "application/octet-stream" if binary else "application/json"}
    if json_size is not None:
        headers[_HEADER_LENGTH] = str(json_size)
    return PreparedRequest(sample, body if isinstance(body, bytes) else body.encode(), headers)


class HttpClient:
    """Plain HTTP to one endpoint, without retries and with a time-out on everything."""

    def __init__(self, endpoint: Endpoint, timeout_s: float = REQUEST_TIMEOUT_S) -> None:
        self.endpoint = endpoint
        self._pool = urllib3.PoolManager(
            retries=False, timeout=urllib3.Timeout(total=timeout_s), maxsize=1
        )

    def send(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> urllib3.BaseHTTPResponse:
        """Send one request; any answer is a result.

        Raises:
            AnswerError: when no answer came.
        """
        url = f"{self.endpoint.http_url}/{path}"
        try:
            return self._pool.request(method, url, body=body, headers=dict(headers or {}))
        except urllib3.exceptions.HTTPError as error:
            raise AnswerError(f"{method} {url}: {type(error).__name__}: {error}") from error

    def ask(self, request: PreparedRequest) -> None:
        """Ask one sample and check the answer.

        Raises:
            AnswerError: when there is no answer, an error, or a wrong answer.
        """
        check_response(request, self.send_request(request))

    def send_request(self, request: PreparedRequest) -> urllib3.BaseHTTPResponse:
        """Send one sample's request; any answer is a result.

        Raises:
            AnswerError: when no answer came.
        """
        path = f"v2/models/{request.sample.model}/infer"
        return self.send("POST", path, request.body, request.headers)

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()


def check_response(request: PreparedRequest, response: urllib3.BaseHTTPResponse) -> None:
    """Check the answer to one sample's request.

    Raises:
        AnswerError: when it is an error, or a wrong answer.
    """
    if response.status != 200:
        raise AnswerError(
            f"{request.sample.model}: HTTP {response.status}: "
            f"{response.data[:300].decode(errors='replace')}"
        )
    length = response.headers.get(_HEADER_LENGTH)
    try:
        result = tritonclient.http.InferenceServerClient.parse_response_body(
            response.data, header_length=int(length) if length is not None else None
        )
        outputs = {name: result.as_numpy(name) for name in request.sample.outputs}
    except (InferenceServerException, ValueError) as error:
        raise AnswerError(f"{request.sample.model}: unreadable answer: {error}") from error
    check_answer(
        request.sample, {name: value[0] for name, value in outputs.items() if value is not None}
    )


def wait_for_right_answers(
    deployment: Deployment, edge: EdgeNode, timeout_s: float, request_timeout_s: float = 2.0
) -> float:
    """Wait until every golden sample is answered rightly; gives the seconds that it took.

    Raises:
        WaitTimeout: with the last wrong answer or error.
    """
    client = HttpClient(edge.endpoint, request_timeout_s)
    requests = [
        prepare(sample, binary=True) for sample in golden_samples(deployment, edge.endpoint)
    ]

    def ask_all() -> int:
        for request in requests:
            client.ask(request)
        return len(requests)

    begun = time.monotonic()
    try:
        wait_until(
            f"right answers of {', '.join(edge.endpoint.models)} on {edge.name}",
            ask_all,
            lambda answered: answered > 0,
            timeout_s,
            expected=(AnswerError,),
        )
    finally:
        client.close()
    return time.monotonic() - begun


@dataclass(frozen=True, slots=True)
class Failure:
    """One request that was not answered rightly: when it was sent, and what was wrong."""

    at_ns: int
    error: str


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """What a probe saw: monotonic begin and end, right answers, failures, longest request."""

    begun_ns: int
    ended_ns: int
    answered: int
    failures: tuple[Failure, ...]
    slowest_s: float

    def describe_failures(self) -> str:
        """How many failed, and the first of them."""
        if not self.failures:
            return f"{self.answered} right answers, none failed"
        first = self.failures[0]
        return (
            f"{len(self.failures)} of {self.answered + len(self.failures)} requests failed; "
            f"the first, {(first.at_ns - self.begun_ns) / 1e9:.1f} s after the watch began: "
            f"{first.error}"
        )


class InferenceProbe:
    """Asks the golden samples in turn, in a thread, at a modest rate, and counts failures.

    Use it as a context manager; every exit waits for the request in flight.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        samples: Sequence[GoldenSample],
        interval_s: float = _POLL_INTERVAL_S,
    ) -> None:
        self._client = HttpClient(endpoint)
        self._requests = [prepare(sample, binary=True) for sample in samples]
        self._interval_s = interval_s
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._answered = 0
        self._failures: list[Failure] = []
        self._slowest_s = 0.0
        self._begun_ns = 0
        self._thread = threading.Thread(target=self._run, name="inference-probe", daemon=True)

    def __enter__(self) -> InferenceProbe:
        self._begun_ns = time.monotonic_ns()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._client.close()

    def _run(self) -> None:
        for request in cycle(self._requests):
            self._ask(request)
            if self._stop.wait(self._interval_s):
                return

    def _ask(self, request: PreparedRequest) -> None:
        sent_ns = time.monotonic_ns()
        failure: Failure | None = None
        try:
            self._client.ask(request)
        except AnswerError as error:
            failure = Failure(sent_ns, str(error))
        with self._changed:
            self._slowest_s = max(self._slowest_s, (time.monotonic_ns() - sent_ns) / 1e9)
            if failure is None:
                self._answered += 1
            else:
                self._failures.append(failure)
            self._changed.notify_all()

    def watch(self, duration_s: float) -> ProbeReport:
        """Go on for ``duration_s`` seconds, or until the first failure; gives what was seen."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._failures), duration_s)
        return self.report()

    def report(self) -> ProbeReport:
        """What was seen by now."""
        with self._changed:
            return ProbeReport(
                self._begun_ns,
                time.monotonic_ns(),
                self._answered,
                tuple(self._failures),
                self._slowest_s,
            )
