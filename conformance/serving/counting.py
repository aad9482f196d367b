"""What a server counts of one model: its statistics over HTTP and gRPC, and its metrics."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tritonclient.grpc import service_pb2

from conformance.errors import AnswerError
from conformance.inference import HttpClient
from conformance.serving.grpc_channel import GrpcServer


@dataclass(frozen=True, slots=True)
class Statistics:
    """Requests answered, rows in them, executions that did them, and executions by batch size."""

    requests: int
    inferences: int
    executions: int
    batches: Mapping[int, int]

    def since(self, before: Statistics) -> Statistics:
        """How much each grew; batch sizes that did not grow are left out."""
        grown = {size: count - before.batches.get(size, 0) for size, count in self.batches.items()}
        return Statistics(
            self.requests - before.requests,
            self.inferences - before.inferences,
            self.executions - before.executions,
            {size: count for size, count in grown.items() if count},
        )


def over_http(http: HttpClient, model: str) -> Statistics:
    """The model's statistics as HTTP gives them.

    Raises:
        AnswerError: there are none.
    """
    response = http.send("GET", f"v2/models/{model}/stats")
    if response.status != 200:
        raise AnswerError(f"statistics of {model}: HTTP {response.status}: {response.data[:200]!r}")
    (entry,) = json.loads(response.data)["model_stats"]
    return Statistics(
        int(entry["inference_stats"]["success"]["count"]),
        int(entry["inference_count"]),
        int(entry["execution_count"]),
        {
            int(batch["batch_size"]): int(batch["compute_infer"]["count"])
            for batch in entry.get("batch_stats", ())
        },
    )


def over_grpc(service: GrpcServer, model: str) -> Statistics:
    """The model's statistics as gRPC gives them.

    Raises:
        AnswerError: there are none.
    """
    found: Any = service.call("ModelStatistics", service_pb2.ModelStatisticsRequest(name=model))
    (entry,) = found.model_stats
    return Statistics(
        int(entry.inference_stats.success.count),
        int(entry.inference_count),
        int(entry.execution_count),
        {int(one.batch_size): int(one.compute_infer.count) for one in entry.batch_stats},
    )
