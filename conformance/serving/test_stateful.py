"""Serving: sequences of requests that belong together, and several answers to one request."""

from __future__ import annotations

import grpc
import numpy as np
import pytest

from conformance.catalogue import requirement
from conformance.errors import AnswerError
from conformance.explain import explain
from conformance.inference import REQUEST_TIMEOUT_S
from conformance.serving.grpc_channel import GrpcServer, decode, encode, refusal
from conformance.serving.messages import Ask, Channel
from conformance.serving.refusals import not_refused
from conformance.serving.tensors import Tensor
from fixtures.target import EdgeNode

_LOOK = "the server's log on the node, and the config.pbtxt of the role's model"
_FIRST, _SECOND = 71_001, 71_002


def _step(model: str, sequence: int, number: int, *, start: bool = False, end: bool = False) -> Ask:
    return Ask(
        model,
        (Tensor("INPUT", "INT32", np.array([[number]], np.int32)),),
        parameters={"sequence_id": sequence, "sequence_start": start, "sequence_end": end},
    )


@requirement(
    id="SRV-020",
    level="MUST",
    family="serving",
    since="0.2",
    sentence="A sequence model MUST keep its state for each correlation id apart from every "
    "other's, from the start of the sequence to its end.",
    why="Two machines on one line must not be judged by each other's vibrations.",
    source="Triton: sequence extension; stateful models",
)
@pytest.mark.triton_extension
def test_sequences(edge: EdgeNode, channels: tuple[Channel, ...], sequence_model: str) -> None:
    """Two interleaved sequences of running sums over each protocol; then one without a start."""
    wrong = []
    for channel in channels:
        steps = (
            (_step(sequence_model, _FIRST, 1, start=True), 1),
            (_step(sequence_model, _SECOND, 1000, start=True), 1000),
            (_step(sequence_model, _FIRST, 10), 11),
            (_step(sequence_model, _SECOND, 500), 1500),
            (_step(sequence_model, _FIRST, 100, end=True), 111),
            (_step(sequence_model, _SECOND, 7, end=True), 1507),
            (_step(sequence_model, _FIRST, 5, start=True, end=True), 5),
        )
        for number, (ask, wanted) in enumerate(steps):
            try:
                found = channel.infer(ask).output("SUM").array.ravel().tolist()
            except AnswerError as error:
                wrong.append(f"{channel.name}, step {number}: {error}")
                continue
            if found != [wanted]:
                wrong.append(f"{channel.name}, step {number}: the sum is {found}, not {wanted}")
        ended = _step(sequence_model, _FIRST, 1)
        wrong += not_refused(channel, ended, "a step of a sequence that has ended")
    assert not wrong, explain(
        promised=f"{edge.name} keeps the state of each sequence apart",
        seen="; ".join(wrong[:4]),
        since="the sequences began",
        look=_LOOK,
    )


def _responses(service: GrpcServer, model: str, counts: tuple[int, ...]) -> dict[str, list[int]]:
    """Indices of the responses to each request of one stream, in the order that they came.

    Raises:
        AnswerError: the stream ended with an error, or a request got no end.
    """
    asked = [
        encode(
            Ask(
                model,
                (Tensor("COUNT", "INT32", np.array([count], np.int32)),),
                id=f"request-{position}",
                parameters={"triton_enable_empty_final_response": True},
            )
        )
        for position, count in enumerate(counts)
    ]
    found: dict[str, list[int]] = {request.id: [] for request in asked}
    unfinished = set(found)
    responses = service.stream(iter(asked), REQUEST_TIMEOUT_S)
    try:
        for response in responses:
            if response.error_message:
                raise AnswerError(f"the stream says: {response.error_message}")
            answer = decode(response.infer_response)
            if answer.outputs:
                found[answer.id] += answer.output("INDEX").array.ravel().tolist()
            if answer.parameters.get("triton_final_response"):
                unfinished.discard(answer.id)
    except grpc.RpcError as error:
        raise refusal(error, "ModelStreamInfer") from error
    if unfinished:
        raise AnswerError(f"no final response to {', '.join(sorted(unfinished))}")
    return found


@requirement(
    id="SRV-021",
    level="MUST",
    family="serving",
    since="0.2",
    sentence="A decoupled model MUST give every response of a request over the gRPC stream, in "
    "order and marked at the end, none, one or many, and the unary calls MUST refuse it.",
    why="Detections of a video come one by one; a lost last one is an object that nobody saw.",
    source="Triton: decoupled backends and models, gRPC streaming",
)
@pytest.mark.triton_extension
def test_decoupled_responses(
    edge: EdgeNode, grpc_service: GrpcServer, channels: tuple[Channel, ...], decoupled_model: str
) -> None:
    """Ask none, one, and fifty responses within one stream; then ask without a stream."""
    counts = (0, 1, 50, 3)
    promised = {f"request-{at}": list(range(count)) for at, count in enumerate(counts)}
    wrong = []
    try:
        found = _responses(grpc_service, decoupled_model, counts)
    except AnswerError as error:
        wrong.append(str(error))
    else:
        wrong += [
            f"{name}: got {len(found[name])} responses {found[name][:8]}, not {len(wanted)}"
            for name, wanted in promised.items()
            if found[name] != wanted
        ]
    count = Tensor("COUNT", "INT32", np.array([1], np.int32))
    for channel in channels:
        wrong += not_refused(
            channel,
            Ask(decoupled_model, (count,)),
            "a decoupled model without a stream",
            (400, 404, 501, "INVALID_ARGUMENT", "UNIMPLEMENTED"),
        )
    assert not wrong, explain(
        promised=f"{edge.name} gives {', '.join(map(str, counts))} responses in order, and an end",
        seen="; ".join(wrong[:4]),
        since="the stream began",
        look=_LOOK,
    )
