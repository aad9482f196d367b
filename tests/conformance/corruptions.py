"""What a proxy does wrong to break one requirement of the serving protocol, and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from conformance.serving.http_channel import HEADER_LENGTH
from conformance.serving.tensors import MAX_BATCH_SIZE
from tests.conformance.corrupting_proxy import Corruption, HttpReply, HttpRequest

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Broken:
    """A requirement, its test, what the proxy does, and what the test must say of it."""

    requirement: str
    test: str
    corruption: Corruption
    says: tuple[str, ...]


def _asked(request: HttpRequest) -> Document | None:
    """The JSON document of an inference request without binary tensors."""
    if not request.path.endswith("/infer") or HEADER_LENGTH in request.headers:
        return None
    document: Document = json.loads(request.body)
    return document


def _asking(change: Callable[[Document], None]) -> Callable[[HttpRequest], HttpRequest]:
    def corrupt(request: HttpRequest) -> HttpRequest:
        document = _asked(request)
        if document is None:
            return request
        change(document)
        return replace(request, body=json.dumps(document).encode())

    return corrupt


def _answering(
    change: Callable[[Document, Document], None],
) -> Callable[[HttpRequest, HttpReply], HttpReply]:
    """Change a good JSON answer; the change also sees what was asked."""

    def corrupt(request: HttpRequest, reply: HttpReply) -> HttpReply:
        asked = _asked(request)
        if asked is None or reply.status != 200 or HEADER_LENGTH in reply.headers:
            return reply
        document = json.loads(reply.body)
        change(asked, document)
        return replace(reply, body=json.dumps(document).encode())

    return corrupt


def _rounded_integers(asked: Document, answer: Document) -> None:
    for output in answer["outputs"]:
        if output["datatype"] == "INT64":
            output["data"] = [int(float(value)) // 1024 * 1024 for value in output["data"]]


def _last_bit_flipped(request: HttpRequest, reply: HttpReply) -> HttpReply:
    if HEADER_LENGTH not in reply.headers:
        return reply
    return replace(reply, body=reply.body[:-1] + bytes([reply.body[-1] ^ 1]))


def _typed_answers_reversed(method: str, asked: Any, answer: Any) -> None:
    if method == "ModelInfer" and asked.inputs and asked.inputs[0].HasField("contents"):
        raw = answer.raw_output_contents[0]
        answer.raw_output_contents[0] = raw[::-1]


def _first_rows_swapped(asked: Document, answer: Document) -> None:
    for output in answer["outputs"]:
        rows, *rest = output["shape"]
        if rows > 1 and rest:
            data, width = output["data"], rest[0]
            output["data"] = data[width : 2 * width] + data[:width] + data[2 * width :]


def _batch_cut(document: Document) -> None:
    for tensor in document["inputs"]:
        rows, *rest = tensor["shape"]
        if rows > MAX_BATCH_SIZE:
            tensor["shape"] = [MAX_BATCH_SIZE, *rest]
            tensor["data"] = tensor["data"][: MAX_BATCH_SIZE * rest[0]]


def _empty_batch_fails_the_server(request: HttpRequest, reply: HttpReply) -> HttpReply:
    asked = _asked(request)
    if asked is None or asked["inputs"][0]["shape"][0] != 0:
        return reply
    return replace(reply, status=500, body=b'{"error": "division by zero"}')


def _all_outputs(document: Document) -> None:
    document.pop("outputs", None)


def _id_cut(method: str, asked: Any, answer: Any) -> None:
    if method == "ModelInfer":
        answer.id = answer.id[:64]


def _parameters_refused(request: HttpRequest, reply: HttpReply) -> HttpReply:
    asked = _asked(request)
    if asked is None or "parameters" not in asked:
        return reply
    return replace(reply, status=400, body=b'{"error": "unknown parameter"}')


def _classes_ascending(asked: Document, answer: Document) -> None:
    for output in answer["outputs"]:
        if output["datatype"] == "BYTES":
            width = output["shape"][-1]
            rows = [output["data"][at : at + width] for at in range(0, len(output["data"]), width)]
            output["data"] = [entry for row in rows for entry in row[::-1]]


def _always_version_1(request: HttpRequest) -> HttpRequest:
    return replace(request, path=request.path.replace("/versions/2/", "/versions/1/"))


def _not_found_as_server_error(request: HttpRequest, reply: HttpReply) -> HttpReply:
    return replace(reply, status=500) if reply.status == 404 else reply


def _everything_ready(request: HttpRequest, reply: HttpReply) -> HttpReply:
    if not request.path.endswith("/repository/index"):
        return reply
    index = [{**entry, "state": "READY"} for entry in json.loads(reply.body)]
    return replace(reply, body=json.dumps(index).encode())


def _one_sequence_for_all(document: Document) -> None:
    parameters = document.get("parameters", {})
    if "sequence_id" in parameters:
        parameters["sequence_id"] = 1


def _fiftieth_response_lost(method: str, asked: Any, answer: Any) -> None:
    response = answer.infer_response
    if method == "ModelStreamInfer" and list(response.raw_output_contents) == [b"\x31\0\0\0"]:
        del response.outputs[:]
        del response.raw_output_contents[:]


def _executions_doubled(request: HttpRequest, reply: HttpReply) -> HttpReply:
    if not request.path.endswith("/stats"):
        return reply
    document = json.loads(reply.body)
    document["model_stats"][0]["execution_count"] *= 2
    return replace(reply, body=json.dumps(document).encode())


def _rows_doubled(page: str) -> str:
    def double(found: re.Match[str]) -> str:
        return f"{found[1]} {2 * int(found[2])}"

    return re.sub(r"^(nv_inference_count\{.*\}) (\d+)$", double, page, flags=re.MULTILINE)


def _no_log_settings(request: HttpRequest, reply: HttpReply) -> HttpReply:
    if request.path != "/v2/logging":
        return reply
    return replace(reply, status=404, body=b'{"error": "Not Found"}')


def _without_parameter(name: str) -> Callable[[str, Any], None]:
    def corrupt(method: str, asked: Any) -> None:
        if method == "ModelInfer":
            asked.parameters.pop(name, None)

    return corrupt


def _rows_reversed(method: str, asked: Any, answer: Any) -> None:
    if method != "ModelInfer":
        return
    for index, output in enumerate(answer.outputs):
        raw, rows = answer.raw_output_contents[index], output.shape[0]
        size = len(raw) // rows
        turned = [raw[at : at + size] for at in range(0, len(raw), size)][::-1]
        answer.raw_output_contents[index] = b"".join(turned)


def _any_datatype_taken(request: HttpRequest, reply: HttpReply) -> HttpReply:
    if b'"FP31"' not in request.body:
        return reply
    return replace(reply, status=200, body=b'{"model_name": "x", "outputs": []}')


def broken() -> tuple[Broken, ...]:
    """Every requirement that a proxy alone can break."""
    return (
        Broken(
            "SRV-007",
            "test_datatypes_over_json",
            Corruption(http_reply=_answering(_rounded_integers)),
            ("over HTTP with JSON", "1 wrong", "INT64"),
        ),
        Broken(
            "SRV-008",
            "test_datatypes_over_binary_http",
            Corruption(http_reply=_last_bit_flipped),
            ("over HTTP with binary tensors", "HTTP binary: sent BOOL[1, 4]"),
        ),
        Broken(
            "SRV-009",
            "test_datatypes_over_grpc",
            Corruption(grpc_reply=_typed_answers_reversed),
            ("over gRPC", "gRPC typed: sent UINT8"),
        ),
        Broken(
            "SRV-010",
            "test_every_batch_size",
            Corruption(http_reply=_answering(_first_rows_swapped)),
            ("row by row", "HTTP JSON, batch of 2: sent INT32[2, 5]"),
        ),
        Broken(
            "SRV-011",
            "test_batch_beyond_the_largest",
            Corruption(http_request=_asking(_batch_cut)),
            ("HTTP JSON, batch of 9: answered with",),
        ),
        Broken(
            "SRV-012",
            "test_empty_batch",
            Corruption(http_reply=_empty_batch_fails_the_server),
            ("HTTP JSON: refused with 500",),
        ),
        Broken(
            "SRV-013",
            "test_requested_outputs",
            Corruption(http_request=_asking(_all_outputs)),
            ("HTTP JSON, one output of three: got the outputs",),
        ),
        Broken(
            "SRV-014",
            "test_request_id",
            Corruption(grpc_reply=_id_cut),
            ("gRPC: sent the id 'xxxx",),
        ),
        Broken(
            "SRV-015",
            "test_unknown_parameters",
            Corruption(http_reply=_parameters_refused),
            ("HTTP JSON, parameters of the request: 400: unknown parameter",),
        ),
        Broken(
            "SRV-016",
            "test_classification",
            Corruption(http_reply=_answering(_classes_ascending)),
            ("HTTP JSON: [[(0.5, 2), (0.875, 1)]",),
        ),
        Broken(
            "SRV-017",
            "test_versions",
            Corruption(http_request=_always_version_1),
            ("HTTP JSON, version 2: 1",),
        ),
        Broken(
            "SRV-018",
            "test_unknown_model",
            Corruption(http_reply=_not_found_as_server_error),
            ("HTTP JSON, inference: refused with 500", "HTTP metadata: status 500"),
        ),
        Broken(
            "SRV-019",
            "test_model_control",
            Corruption(http_reply=_everything_ready),
            ("the index says that the unloaded", "is ready"),
        ),
        Broken(
            "SRV-020",
            "test_sequences",
            Corruption(http_request=_asking(_one_sequence_for_all)),
            ("HTTP JSON, step 2: the sum is [1010], not 11",),
        ),
        Broken(
            "SRV-021",
            "test_decoupled_responses",
            Corruption(grpc_reply=_fiftieth_response_lost),
            ("request-2: got 49 responses",),
        ),
        Broken(
            "SRV-022",
            "test_statistics",
            Corruption(http_reply=_executions_doubled),
            ("over HTTP: (12, 32, 24",),
        ),
        Broken(
            "SRV-023",
            "test_metrics",
            Corruption(metrics=_rows_doubled),
            ("they grew by (12, 64, 12)",),
        ),
        Broken(
            "SRV-024",
            "test_trace_and_log_settings",
            Corruption(http_reply=_no_log_settings),
            ("v2/logging: HTTP 404",),
        ),
        Broken(
            "SRV-025",
            "test_queue_policy",
            Corruption(grpc_request=_without_parameter("timeout")),
            ("the request with a time-out of 200000 us was worked on",),
        ),
        Broken(
            "SRV-026",
            "test_cancellation",
            Corruption(cancels=False),
            ("the model was not free 5 s after the cancellation",),
        ),
        Broken(
            "SRV-027",
            "test_priority",
            Corruption(grpc_request=_without_parameter("priority")),
            ("works on the request of high priority first", "it was worked on as"),
        ),
        Broken(
            "SRV-028",
            "test_mixed_batches",
            Corruption(grpc_reply=_rows_reversed),
            ("requests wrong", "row 0 of", "wrong numbers in output"),
        ),
        Broken(
            "SRV-029",
            "test_fuzzed_requests",
            Corruption(http_reply=_any_datatype_taken),
            ("JSON: datatype 'FP31': HTTP 200",),
        ),
    )
