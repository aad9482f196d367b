"""Serving: what is batched together comes apart again rightly."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import grpc
import numpy as np
import pytest
from tritonclient.utils import np_to_triton_dtype

from conformance.catalogue import requirement
from conformance.errors import AnswerError
from conformance.explain import explain
from conformance.inference import REQUEST_TIMEOUT_S, check_answer
from conformance.observe import observe_until
from conformance.serving.grpc_channel import GrpcServer, decode, encode
from conformance.serving.messages import Answer, Ask
from conformance.serving.metrics import BatchCounters, read_counters
from conformance.serving.tensors import Tensor
from fixtures.profile import Profile
from fixtures.target import Deployment, EdgeNode, Endpoint, Evidence, GoldenSample

_SEED = 20_260_002
_REQUESTS = 48
_MOST_ROWS = 4
_ROUNDS = 5
_LAG_S = 15.0


@dataclass(frozen=True, slots=True)
class _Mixed:
    """A request of several golden samples, one in each row."""

    rows: tuple[GoldenSample, ...]

    def ask(self) -> Ask:
        tensors = []
        for name, first in self.rows[0].inputs.items():
            array = np.stack([sample.inputs[name] for sample in self.rows])
            tensors.append(Tensor(name, np_to_triton_dtype(first.dtype), array))
        return Ask(self.rows[0].model, tuple(tensors))

    def check(self, answer: Answer) -> None:
        """Compare each row to its own sample.

        Raises:
            AnswerError: for the first that is wrong.
        """
        for row, sample in enumerate(self.rows):
            arrays = {name: tensor.array for name, tensor in answer.outputs.items()}
            short = [name for name, array in arrays.items() if len(array) != len(self.rows)]
            if short:
                raise AnswerError(f"{short} of {len(self.rows)} rows have another number of rows")
            try:
                check_answer(sample, {name: array[row] for name, array in arrays.items()})
            except AnswerError as error:
                raise AnswerError(f"row {row} of {len(self.rows)}: {error}") from error


def _mixed(samples: Sequence[GoldenSample]) -> list[_Mixed]:
    dice = random.Random(_SEED)
    return [
        _Mixed(tuple(dice.choices(samples, k=dice.randint(1, _MOST_ROWS))))
        for _ in range(_REQUESTS)
    ]


def _ask_at_once(service: GrpcServer, requests: Sequence[_Mixed]) -> list[str]:
    """Send all before the first answer is awaited; gives what was wrong with the answers."""
    begun = [
        (request, service.begin(encode(request.ask()), 2 * REQUEST_TIMEOUT_S))
        for request in requests
    ]
    wrong = []
    for number, (request, future) in enumerate(begun):
        try:
            request.check(decode(future.result()))
        except grpc.RpcError as error:
            wrong.append(f"request {number}: {error.code().name}: {error.details()}")
        except AnswerError as error:
            wrong.append(f"request {number}: {error}")
    return wrong


def _counted(endpoint: Endpoint, model: str, before: BatchCounters, answered: int) -> BatchCounters:
    """Growth of the counters, once they hold every answer: they lag behind."""
    return observe_until(
        lambda: read_counters(endpoint, model).since(before),
        lambda grown: grown.requests >= answered,
        _LAG_S,
    ).value


@requirement(
    id="SRV-028",
    level="MUST",
    family="serving",
    since="0.2",
    sentence="Of different requests that are batched together, each MUST get the answers to its "
    "own rows, row by row.",
    why="Batching is where one machine's verdict can end up at another machine.",
    source="Triton Inference Server documentation: Dynamic Batcher",
)
@pytest.mark.triton_extension
def test_mixed_batches(
    edge: EdgeNode,
    grpc_service: GrpcServer,
    deployment: Deployment,
    profile: Profile,
    evidence: Evidence,
) -> None:
    """Send different requests of one to four rows at once until some were batched together."""
    model = profile.load.model
    requests = _mixed(deployment.golden(model))
    before = read_counters(edge.endpoint, model)
    sent = 0
    wrong: list[str] = []
    for _ in range(_ROUNDS):
        wrong += _ask_at_once(grpc_service, requests)
        sent += len(requests)
        counted = _counted(edge.endpoint, model, before, sent - len(wrong))
        if counted.executions < counted.requests:
            break
    batched = counted.requests - counted.executions
    evidence.value(f"{edge.name} {model} requests batched with others", batched)
    assert not wrong, explain(
        promised=f"{model} on {edge.name} answers every row of requests that arrive at once",
        seen=f"{len(wrong)} of {sent} requests wrong; " + "; ".join(wrong[:4]),
        since="the model's present version was loaded",
        look="how the model splits the answers of a batch",
    )
    assert batched > 0, explain(
        promised=f"{model} on {edge.name} batches requests that arrive at once",
        seen=f"{counted.requests} requests took {counted.executions} executions",
        since=f"{_ROUNDS} rounds of {len(requests)} requests",
        look="dynamic_batching in the model's config.pbtxt",
    )
