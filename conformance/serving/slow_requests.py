"""Requests to the slow model that are under way, and the queue before it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import urllib3

from conformance.errors import AnswerError
from conformance.serving.grpc_channel import GrpcServer, decode, encode
from conformance.serving.messages import Ask, Parameter, Refused
from conformance.serving.tensors import Tensor
from fixtures.target import Endpoint, wait_until

PATIENCE_S = 30.0
"""Longer than any of these requests takes."""
_PENDING = "nv_inference_pending_request_count"
_QUEUE_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Begun:
    """A request to the slow model that was sent; its answer is awaited, or cancelled."""

    future: Any

    def rank(self, timeout_s: float = PATIENCE_S) -> int:
        """As which of the model's requests it was worked on.

        Raises:
            Refused: the server refused it.
            AnswerError: it did not answer in time.
        """
        try:
            answer = decode(self.future.result(timeout=timeout_s))
        except grpc.FutureTimeoutError as error:
            raise AnswerError(f"no answer within {timeout_s:g} s") from error
        except grpc.RpcError as error:
            raise Refused(error.code().name, str(error.details())) from error
        return int(answer.output("RANK").array.ravel()[0])

    def answered_within(self, timeout_s: float) -> bool:
        """Whether any answer came, good or bad."""
        try:
            self.future.exception(timeout=timeout_s)
        except grpc.FutureTimeoutError:
            return False
        return True

    def cancel(self) -> None:
        """Give the request up."""
        self.future.cancel()


def slow_ask(model: str, delay_s: float, parameters: dict[str, Parameter] | None = None) -> Ask:
    """A request that takes so long."""
    delay = Tensor("DELAY_MS", "INT32", np.array([[round(delay_s * 1000)]], np.int32))
    return Ask(model, (delay,), parameters=parameters or {})


def begin(
    service: GrpcServer, model: str, delay_s: float, parameters: dict[str, Parameter] | None = None
) -> Begun:
    """Send a request that takes so long, and go on."""
    return Begun(service.begin(encode(slow_ask(model, delay_s, parameters)), PATIENCE_S))


def queued(endpoint: Endpoint, model: str, count: int) -> None:
    """Wait until exactly so many requests wait before the model; it works on one more.

    Raises:
        WaitTimeout: with the number that waits.
    """
    wait_until(
        f"{count} requests waiting for {model}",
        lambda: _pending(endpoint, model),
        lambda found: found == count,
        _QUEUE_TIMEOUT_S,
        interval_s=0.05,
        expected=(AnswerError,),
    )


def _pending(endpoint: Endpoint, model: str) -> int:
    try:
        page = urllib3.request("GET", endpoint.metrics_url, retries=False, timeout=5.0)
    except urllib3.exceptions.HTTPError as error:
        raise AnswerError(f"GET {endpoint.metrics_url}: {error}") from error
    pattern = rf'^{_PENDING}{{[^}}]*model="{re.escape(model)}"[^}}]*}} (\d+)'
    found = re.findall(pattern, page.data.decode(), re.MULTILINE)
    if not found:
        raise AnswerError(f"the metrics page has no {_PENDING} of {model}")
    return sum(map(int, found))
