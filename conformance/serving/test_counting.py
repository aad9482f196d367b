"""Serving: what the server counts is what it was asked."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from conformance.catalogue import requirement
from conformance.explain import explain
from conformance.inference import HttpClient
from conformance.observe import observe_until
from conformance.serving.counting import over_grpc, over_http
from conformance.serving.grpc_channel import GrpcServer
from conformance.serving.messages import Ask, Channel
from conformance.serving.metrics import read_counters
from conformance.serving.tensors import MAX_BATCH_SIZE, Tensor
from fixtures.target import EdgeNode, Evidence, JsonValue

_LAG_S = 15.0
_BATCHES = (1, 1, 3, MAX_BATCH_SIZE, 2, 1)


def _ask_all(channels: Sequence[Channel], model: str) -> list[int]:
    """Ask batches of several sizes over each protocol, one after the other; gives their rows."""
    asked = []
    for channel in channels:
        for rows in _BATCHES:
            numbers = Tensor("IN_INT32", "INT32", np.ones((rows, 1), np.int32))
            channel.infer(Ask(model, (numbers,)))
            asked.append(rows)
    return asked


@requirement(
    id="SRV-022",
    level="MUST",
    family="serving",
    since="0.2",
    sentence="The model's statistics MUST count the requests, rows and executions that there "
    "were, by batch size as well, the same over HTTP and gRPC.",
    why="Capacity is planned from these counts; wrong ones buy the wrong number of devices.",
    source="Triton: statistics extension",
)
@pytest.mark.triton_extension
def test_statistics(
    edge: EdgeNode,
    http: HttpClient,
    grpc_service: GrpcServer,
    channels: tuple[Channel, ...],
    types_model_alone: str,
    evidence: Evidence,
) -> None:
    """Send known requests to a model that nobody else asks, and compare both statistics."""
    model = types_model_alone
    before = over_http(http, model)
    asked = _ask_all(channels, model)
    # Requests that follow each other are never batched: each is an execution of its own.
    promised = (len(asked), sum(asked), len(asked), dict(Counter(asked)))
    seen = observe_until(
        lambda: over_http(http, model).since(before),
        lambda grown: grown.requests >= len(asked),
        _LAG_S,
    )
    by_http = seen.value
    by_grpc = over_grpc(grpc_service, model).since(before)
    evidence.value(f"{edge.name} requests counted", by_http.requests)
    for protocol, grown in (("HTTP", by_http), ("gRPC", by_grpc)):
        found = (grown.requests, grown.inferences, grown.executions, dict(grown.batches))
        assert found == promised, explain(
            promised=f"{model} on {edge.name} counts requests, rows, executions and batches: "
            f"{promised}",
            seen=f"over {protocol}: {found}",
            since=f"{seen.seconds:.0f} s after the last of {len(asked)} answers",
            look=f"{edge.endpoint.http_url}/v2/models/{model}/stats",
        )


@requirement(
    id="SRV-023",
    level="MUST",
    family="serving",
    since="0.2",
    sentence="The Prometheus metrics MUST count the requests, rows and executions of each model "
    "that there were.",
    why="Alarms and autoscalers see the metrics only.",
    source="Triton: metrics; Kubernetes AI Conformance: ai_service_metrics",
)
@pytest.mark.triton_extension
def test_metrics(
    edge: EdgeNode, channels: tuple[Channel, ...], types_model_alone: str, evidence: Evidence
) -> None:
    """Send known requests to a model that nobody else asks, and read the metrics page."""
    model, endpoint = types_model_alone, edge.endpoint
    # A model that was never asked may have no counters yet.
    _ask_all(channels, model)
    settled = observe_until(
        lambda: (read_counters(endpoint, model), read_counters(endpoint, model)),
        lambda pair: pair[0] == pair[1],
        _LAG_S,
        interval_s=1.0,
    )
    before = settled.value[1]
    asked = _ask_all(channels, model)
    seen = observe_until(
        lambda: read_counters(endpoint, model).since(before),
        lambda grown: grown.requests >= len(asked),
        _LAG_S,
    )
    grown = seen.value
    found = (grown.requests, grown.inferences, grown.executions)
    promised = (len(asked), sum(asked), len(asked))
    evidence.value(f"{edge.name} requests in the metrics", grown.requests)
    assert found == promised, explain(
        promised=f"the metrics of {model} on {edge.name} grow by requests, rows and executions: "
        f"{promised}",
        seen=f"they grew by {found}",
        since=f"{seen.seconds:.0f} s after the last of {len(asked)} answers",
        look=endpoint.metrics_url,
    )


def _plain(settings: JsonValue) -> JsonValue:
    """Settings with every value as text, as the two protocols type them differently."""
    if isinstance(settings, dict):
        return {key: _plain(value) for key, value in settings.items()}
    if isinstance(settings, list):
        return [_plain(value) for value in settings]
    return str(settings).lower()


@requirement(
    id="SRV-024",
    level="SHOULD",
    family="serving",
    since="0.2",
    sentence="The settings of tracing and logging SHOULD be readable, the same over HTTP and gRPC.",
    why="Whoever looks into a slow device first asks what it logs.",
    source="Triton: trace extension, logging extension",
)
@pytest.mark.triton_extension
def test_trace_and_log_settings(edge: EdgeNode, http: HttpClient, grpc_service: GrpcServer) -> None:
    """Read both settings over both protocols."""
    trace = grpc_service.call("TraceSetting", service_pb2.TraceSettingRequest())
    log = grpc_service.call("LogSettings", service_pb2.LogSettingsRequest())
    over_rpc = {
        "v2/trace/setting": {name: list(one.value) for name, one in trace.settings.items()},
        "v2/logging": {
            name: [getattr(one, str(one.WhichOneof("parameter_choice")))]
            for name, one in log.settings.items()
        },
    }
    wrong = []
    for path, wanted in over_rpc.items():
        response = http.send("GET", path)
        if response.status != 200:
            wrong.append(f"{path}: HTTP {response.status}")
            continue
        document = json.loads(response.data)
        listed = {
            name: value if isinstance(value, list) else [value] for name, value in document.items()
        }
        if _plain(listed) != _plain(wanted) or not listed:
            wrong.append(f"{path}: HTTP says {listed}, gRPC {wanted}")
    assert not wrong, explain(
        promised=f"{edge.name} says how it traces and logs",
        seen="; ".join(wrong),
        since="the test asked",
        look="the server's options for tracing and logging",
    )
