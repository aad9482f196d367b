"""Golden samples over gRPC, one by one and many at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import grpc
import numpy as np
import tritonclient.grpc
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from conformance.errors import AnswerError
from conformance.inference import REQUEST_TIMEOUT_S, check_answer
from fixtures.target import Endpoint, GoldenSample

T = TypeVar("T")


class GrpcClient:
    """The Open Inference Protocol over gRPC, with a time-out on every call."""

    def __init__(self, client: tritonclient.grpc.InferenceServerClient, address: str) -> None:
        self._client = client
        self._address = address

    def live(self) -> bool:
        """ServerLive."""
        return bool(self._call("ServerLive", self._client.is_server_live))

    def ready(self) -> bool:
        """ServerReady."""
        return bool(self._call("ServerReady", self._client.is_server_ready))

    def model_ready(self, model: str) -> bool:
        """ModelReady."""
        return bool(self._call("ModelReady", self._client.is_model_ready, model))

    def server_name(self) -> str:
        """The name in ServerMetadata."""
        return str(self._call("ServerMetadata", self._client.get_server_metadata).name)

    def tensors(self, model: str) -> tuple[dict[str, tuple[str, tuple[int, ...]]], ...]:
        """ModelMetadata: inputs and outputs, each name to datatype and shape."""
        found = self._call("ModelMetadata", self._client.get_model_metadata, model)
        return tuple(
            {one.name: (str(one.datatype), tuple(int(size) for size in one.shape)) for one in side}
            for side in (found.inputs, found.outputs)
        )

    def ask(self, sample: GoldenSample) -> None:
        """ModelInfer with a batch of one; checks the answer.

        Raises:
            AnswerError: when there is no answer, an error, or a wrong answer.
        """
        result = self._call("ModelInfer", self._client.infer, sample.model, _inputs(sample))
        _check(sample, result)

    def ask_at_once(self, samples: Sequence[GoldenSample]) -> None:
        """Send all before the first answer is awaited, then check every answer.

        Raises:
            AnswerError: for the first that failed.
        """
        arrived = threading.Condition()
        results: list[tuple[GoldenSample, object, Exception | None]] = []

        def keep(sample: GoldenSample, result: object, error: Exception | None) -> None:
            with arrived:
                results.append((sample, result, error))
                arrived.notify_all()

        for sample in samples:
            self._client.async_infer(
                sample.model,
                _inputs(sample),
                lambda result, error, sample=sample: keep(sample, result, error),
                client_timeout=REQUEST_TIMEOUT_S,
            )
        with arrived:
            # Every call has its own time-out; the spare covers their callbacks.
            arrived.wait_for(lambda: len(results) == len(samples), 2 * REQUEST_TIMEOUT_S)
            seen = list(results)
        if len(seen) != len(samples):
            raise AnswerError(f"{self._address}: {len(seen)} of {len(samples)} calls came back")
        for sample, result, error in seen:
            if error is not None:
                raise AnswerError(f"{sample.model}: {error}") from error
            _check(sample, result)

    def _call(self, name: str, method: Callable[..., T], *arguments: object) -> T:
        try:
            return method(*arguments, client_timeout=REQUEST_TIMEOUT_S)
        except (InferenceServerException, grpc.RpcError) as error:
            raise AnswerError(f"{name} on {self._address}: {error}") from error


def _inputs(sample: GoldenSample) -> list[tritonclient.grpc.InferInput]:
    tensors = []
    for name, array in sample.inputs.items():
        batch = array[np.newaxis, ...]
        tensor = tritonclient.grpc.InferInput(
            name, list(batch.shape), np_to_triton_dtype(batch.dtype)
        )
        tensor.set_data_from_numpy(batch)
        tensors.append(tensor)
    return tensors


def _check(sample: GoldenSample, result: tritonclient.grpc.InferResult) -> None:
    outputs = {name: result.as_numpy(name) for name in sample.outputs}
    check_answer(sample, {name: value[0] for name, value in outputs.items() if value is not None})


@contextmanager
def grpc_client(endpoint: Endpoint) -> Iterator[GrpcClient]:
    """A client of the endpoint, closed on exit."""
    client = tritonclient.grpc.InferenceServerClient(endpoint.grpc_address)
    try:
        yield GrpcClient(client, endpoint.grpc_address)
    finally:
        client.close()
