"""Serving: which requests wait, how long, and which of them are not worked on at all."""

from __future__ import annotations

import time

import pytest

from conformance.catalogue import requirement
from conformance.errors import AnswerError
from conformance.explain import explain
from conformance.serving.grpc_channel import GrpcServer
from conformance.serving.messages import Channel, Parameter, Refused
from conformance.serving.slow_requests import Begun, begin, queued, slow_ask
from fixtures.target import EdgeNode, Evidence

_LOOK = "the server's log on the node; dynamic_batching in the config.pbtxt of the role `slow`"
_BUSY_S = 1.5
_TIMEOUT_US = 200_000
# Long enough that nobody takes its end for the effect of a cancellation.
_ENDLESS_S = 20.0
_FREED_S = 5.0
_OVERTAKEN_S = 0.3
QUEUE_SIZE = 8


def _behind_busy(
    model: str,
    service: GrpcServer,
    edge: EdgeNode,
    count: int,
    parameters: dict[str, Parameter] | None = None,
    busy_s: float = _ENDLESS_S,
) -> tuple[Begun, list[Begun]]:
    """Make the model busy, and let so many requests wait behind it."""
    busy = begin(service, model, busy_s)
    waiting = [begin(service, model, 0.0, parameters)]
    queued(edge.endpoint, model, 1)
    # Requests that are sent together may overtake each other; one that did has its answer.
    if waiting[0].answered_within(_OVERTAKEN_S):
        waiting = [begin(service, model, 0.0, parameters)]
    waiting += [begin(service, model, 0.0, parameters) for _ in range(count - 1)]
    queued(edge.endpoint, model, count)
    return busy, waiting


@requirement(
    id="SRV-025",
    level="MUST",
    family="serving",
    since="0.2",
    sentence="A request that has waited beyond its own time-out, or finds the queue full, MUST be "
    "refused and not worked on, and requests within both be answered.",
    why="An answer that comes too late for the belt only delays the next part.",
    source="Triton: schedule policy extension; model configuration: ModelQueuePolicy",
)
@pytest.mark.triton_extension
def test_queue_policy(
    edge: EdgeNode, grpc_service: GrpcServer, http_json: Channel, slow_model_alone: str
) -> None:
    """Behind a busy model: one request in a hurry among patient ones, then more than fit."""
    model = slow_model_alone
    wrong = []
    busy, (patient,) = _behind_busy(model, grpc_service, edge, 1, busy_s=_BUSY_S)
    hurried = begin(grpc_service, model, 0.0, {"timeout": _TIMEOUT_US})
    queued(edge.endpoint, model, 2)
    try:
        rank = hurried.rank()
        wrong.append(f"the request with a time-out of {_TIMEOUT_US} us was worked on as {rank}")
    except Refused as refused:
        if "timeout" not in refused.reason.lower():
            wrong.append(f"the request with a time-out was refused with {refused}")
    before = max(busy.rank(), patient.rank())
    after = begin(grpc_service, model, 0.0).rank()
    if after != before + 1:
        wrong.append(f"{after - before - 1} requests without an answer were worked on")
    wrong += _overfull(grpc_service, http_json, edge, model)
    assert not wrong, explain(
        promised=f"{edge.name} refuses what waited too long or does not fit into the queue",
        seen="; ".join(wrong),
        since=f"the model was busy for {_BUSY_S:g} s",
        look=_LOOK,
    )


def _overfull(service: GrpcServer, http_json: Channel, edge: EdgeNode, model: str) -> list[str]:
    """Fill the queue behind a busy model, and ask once more over each protocol."""
    busy, waiting = _behind_busy(model, service, edge, QUEUE_SIZE)
    wrong = []
    try:
        beyond = begin(service, model, 0.0)
        if not beyond.answered_within(_FREED_S):
            wrong.append("gRPC: a request beyond the queue's size waits")
            beyond.cancel()
        try:
            http_json.infer(slow_ask(model, 0.0))
            wrong.append("HTTP JSON: a request beyond the queue's size was answered")
        except Refused:
            pass
        except AnswerError as error:
            wrong.append(f"HTTP JSON: a request beyond the queue's size: {error}")
    finally:
        busy.cancel()
    for one in waiting:
        try:
            one.rank()
        except AnswerError as error:
            wrong.append(f"a request that fitted into the queue: {error}")
    return wrong


@requirement(
    id="SRV-027",
    level="MUST",
    family="serving",
    since="0.2",
    sentence="A request of higher priority MUST be worked on before those of lower priority that "
    "wait already.",
    why="The emergency stop's camera must not queue behind the statistics.",
    source="Triton: schedule policy extension; model configuration: priority levels",
)
@pytest.mark.triton_extension
def test_priority(edge: EdgeNode, grpc_service: GrpcServer, slow_model_alone: str) -> None:
    """Behind a busy model: three requests of low priority, then one of high priority."""
    model = slow_model_alone
    busy, low = _behind_busy(model, grpc_service, edge, 3, {"priority": 2})
    try:
        high = begin(grpc_service, model, 0.0, {"priority": 1})
        queued(edge.endpoint, model, len(low) + 1)
    finally:
        busy.cancel()
    high_rank, low_ranks = high.rank(), sorted(one.rank() for one in low)
    assert high_rank < low_ranks[0], explain(
        promised=f"{edge.name} works on the request of high priority first",
        seen=f"it was worked on as {high_rank}, those of low priority as {low_ranks}",
        since="all of them waited behind a busy model",
        look=_LOOK,
    )


@requirement(
    id="SRV-026",
    level="MUST",
    family="serving",
    since="0.2",
    sentence="A gRPC request that its client cancels MUST free the model at once, and never be "
    "worked on if it was still waiting.",
    why="A client that gave up must not keep the accelerator from the others.",
    source="Triton: request cancellation",
)
@pytest.mark.triton_extension
def test_cancellation(
    edge: EdgeNode, grpc_service: GrpcServer, slow_model_alone: str, evidence: Evidence
) -> None:
    """Cancel a long request that is worked on and a short one behind it; the third is answered."""
    model = slow_model_alone
    marker = begin(grpc_service, model, 0.0).rank()
    busy, (given_up,) = _behind_busy(model, grpc_service, edge, 1)
    third = begin(grpc_service, model, 0.0)
    queued(edge.endpoint, model, 2)
    given_up.cancel()
    busy.cancel()
    wrong = []
    cancelled_at = time.monotonic()
    free = third.answered_within(_FREED_S)
    freed_s = time.monotonic() - cancelled_at
    if free:
        rank = third.rank()
        if rank != marker + 2:
            wrong.append(f"{rank - marker - 2} cancelled requests were worked on all the same")
    else:
        wrong.append(f"the model was not free {_FREED_S:g} s after the cancellation")
        third.cancel()
    evidence.value(f"{edge.name} model free after a cancellation", round(freed_s, 3), "s")
    assert not wrong, explain(
        promised=f"{edge.name} lets go of a cancelled request",
        seen="; ".join(wrong),
        since=f"a request of {_ENDLESS_S:g} s was cancelled by its client",
        look=_LOOK,
    )
