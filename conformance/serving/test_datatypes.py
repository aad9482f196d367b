"""Serving: every datatype and batch size, in every encoding of the protocol."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pytest

from conformance.catalogue import requirement
from conformance.errors import AnswerError
from conformance.explain import explain
from conformance.serving.grpc_channel import GrpcChannel, GrpcServer
from conformance.serving.messages import Ask, Channel, Refused
from conformance.serving.refusals import CLIENT_ERRORS, not_refused
from conformance.serving.tensors import (
    DATATYPES,
    MAX_BATCH_SIZE,
    RAW_ONLY,
    Tensor,
    numpy_dtype,
)
from fixtures.target import Array, EdgeNode, Evidence

_LOOK = "the server's log on the node, and the model of the role `types` in its repository"
_ROW = 5


def extremes(datatype: str) -> Array:
    """One row of the values of a datatype that are first lost when it is read as another."""
    dtype = numpy_dtype(datatype)
    if datatype == "BYTES":
        return np.array([[b"", "\u00e9\u4e2d".encode(), b'quote " and \\', b"x" * 300]], dtype)
    if datatype == "BOOL":
        return np.array([[True, False, False, True]], dtype)
    if datatype.startswith("FP"):
        float_info = np.finfo(dtype.str)
        largest, smallest = float_info.max, float_info.smallest_subnormal
        return np.array([[largest, -largest, smallest, -0.0, 1 / 3]], dtype)
    integer_info = np.iinfo(dtype.str)
    return np.array([[integer_info.min, integer_info.max, 0, 1]], dtype)


def _echo_problems(
    channel: Channel, model: str, datatypes: Iterable[str], extra: dict[str, Array] | None = None
) -> list[str]:
    """What was not given back bit for bit."""
    wrong = []
    for datatype in datatypes:
        array = (extra or {}).get(datatype, extremes(datatype))
        sent = Tensor(f"IN_{datatype}", datatype, array)
        try:
            found = channel.infer(Ask(model, (sent,))).output(f"OUT_{datatype}")
        except AnswerError as error:
            wrong.append(f"{channel.name} {datatype}: {error}")
            continue
        if not found.same_as(sent):
            wrong.append(f"{channel.name}: sent {sent.describe()}, got {found.describe()}")
    return wrong


def _check(edge: EdgeNode, encoding: str, wrong: Sequence[str]) -> None:
    assert not wrong, explain(
        promised=f"the server of {edge.name} gives every value of every datatype back over "
        f"{encoding}",
        seen=f"{len(wrong)} wrong; " + "; ".join(wrong[:4]),
        since="the model of the role `types` was loaded",
        look=_LOOK,
    )


@requirement(
    id="SRV-007",
    level="MUST",
    family="serving",
    since="0.2",
    sentence="Over HTTP with JSON the server MUST take and give every datatype that JSON can hold, "
    "with its extreme values unchanged.",
    why="A 64-bit counter that is rounded to a double on its way is a wrong reading.",
    source="Open Inference Protocol (V2), HTTP/REST: tensor data types and tensor data",
)
@pytest.mark.oip
def test_datatypes_over_json(edge: EdgeNode, http_json: Channel, types_model: str) -> None:
    """Echo the extreme values of each datatype but FP16, which JSON has no numbers for."""
    datatypes = [one for one in DATATYPES if one not in RAW_ONLY]
    _check(edge, "HTTP with JSON", _echo_problems(http_json, types_model, datatypes))


# What JSON cannot hold: text that is not UTF-8, and numbers that are none.
_RAW_EXTRA = {
    "BYTES": (b"\x00\xff\xfe", b"", bytes(range(256))),
    "FP16": (np.nan, np.inf, -np.inf, 65504.0),
    "FP32": (np.nan, np.inf, -np.inf, 1e-45),
    "FP64": (np.nan, np.inf, -np.inf, 5e-324),
}


def _raw_extra() -> dict[str, Array]:
    return {kind: np.array([row], numpy_dtype(kind)) for kind, row in _RAW_EXTRA.items()}


@requirement(
    id="SRV-008",
    level="MUST",
    family="serving",
    since="0.2",
    sentence="Over HTTP with binary tensors the server MUST take and give every datatype, bit for "
    "bit, not-a-number and text that is not UTF-8 among them.",
    why="Camera frames and sensor windows are sent so, as JSON costs ten times the bytes.",
    source="Open Inference Protocol (V2): binary tensor data extension",
)
@pytest.mark.triton_extension
def test_datatypes_over_binary_http(edge: EdgeNode, http_binary: Channel, types_model: str) -> None:
    """Echo the extreme values of each datatype, and then what only raw data can hold."""
    wrong = _echo_problems(http_binary, types_model, DATATYPES)
    wrong += _echo_problems(http_binary, types_model, _RAW_EXTRA, _raw_extra())
    _check(edge, "HTTP with binary tensors", wrong)


@requirement(
    id="SRV-009",
    level="MUST",
    family="serving",
    since="0.2",
    sentence="Over gRPC the server MUST take and give every datatype, bit for bit, in raw contents "
    "and in typed ones.",
    why="Clients in other languages use the typed fields, the fast ones the raw bytes.",
    source="Open Inference Protocol (V2), gRPC: ModelInfer, InferTensorContents",
)
@pytest.mark.oip
def test_datatypes_over_grpc(edge: EdgeNode, grpc_service: GrpcServer, types_model: str) -> None:
    """Echo each datatype raw, and each but FP16, which has no typed field, typed."""
    raw, typed = GrpcChannel(grpc_service), GrpcChannel(grpc_service, typed=True)
    wrong = _echo_problems(raw, types_model, DATATYPES)
    wrong += _echo_problems(raw, types_model, _RAW_EXTRA, _raw_extra())
    wrong += _echo_problems(typed, types_model, [one for one in DATATYPES if one not in RAW_ONLY])
    _check(edge, "gRPC", wrong)


def _batch(rows: int) -> Tensor:
    """Rows that differ from each other, so that swapped or repeated ones are seen."""
    numbers = np.arange(rows * _ROW, dtype=np.int32).reshape(rows, _ROW)
    return Tensor("IN_INT32", "INT32", numbers * 7 + 1)


@requirement(
    id="SRV-010",
    level="MUST",
    family="serving",
    since="0.2",
    sentence="Every batch size from one to the model's largest MUST be answered with as many rows, "
    "each the right one and in order.",
    why="Clients batch as the moment allows; a row that comes back in another's place is a "
    "verdict on the wrong part.",
    source="Open Inference Protocol (V2): inference; Triton model configuration: max_batch_size",
)
@pytest.mark.oip
def test_every_batch_size(
    edge: EdgeNode, channels: tuple[Channel, ...], types_model: str, evidence: Evidence
) -> None:
    """Echo batches of one to the largest over both protocols."""
    wrong = []
    for channel in channels:
        for rows in range(1, MAX_BATCH_SIZE + 1):
            sent = _batch(rows)
            try:
                found = channel.infer(Ask(types_model, (sent,))).output("OUT_INT32")
            except AnswerError as error:
                wrong.append(f"{channel.name}, batch of {rows}: {error}")
                continue
            if not found.same_as(sent):
                wrong.append(
                    f"{channel.name}, batch of {rows}: sent {sent.describe()}, "
                    f"got {found.describe()}"
                )
    evidence.value(f"{edge.name} largest batch", MAX_BATCH_SIZE)
    assert not wrong, explain(
        promised=f"{edge.name} answers batches of 1 to {MAX_BATCH_SIZE}, row by row",
        seen="; ".join(wrong[:4]),
        since="the model of the role `types` was loaded",
        look=_LOOK,
    )


@requirement(
    id="SRV-011",
    level="MUST",
    family="serving",
    since="0.2",
    sentence="A batch beyond the model's largest MUST be refused as the client's error, with a "
    "reason, over every encoding.",
    why="A batch that is cut or split without a word loses measurements.",
    source="Triton model configuration: maximum batch size",
)
@pytest.mark.triton_extension
def test_batch_beyond_the_largest(
    edge: EdgeNode, channels: tuple[Channel, ...], http_binary: Channel, types_model: str
) -> None:
    """Send one row too many, and many too many; then the largest batch again."""
    wrong = []
    for channel in (*channels, http_binary):
        for rows in (MAX_BATCH_SIZE + 1, 50 * MAX_BATCH_SIZE):
            wrong += not_refused(channel, Ask(types_model, (_batch(rows),)), f"batch of {rows}")
        wrong += _not_served(channel, types_model)
    assert not wrong, explain(
        promised=f"{edge.name} refuses batches beyond {MAX_BATCH_SIZE}, and serves on",
        seen="; ".join(wrong[:4]),
        since="the model of the role `types` was loaded",
        look="max_batch_size in the model's config.pbtxt",
    )


def _not_served(channel: Channel, model: str) -> list[str]:
    """Nothing where the largest batch is answered rightly."""
    sent = _batch(MAX_BATCH_SIZE)
    try:
        found = channel.infer(Ask(model, (sent,))).output("OUT_INT32")
    except AnswerError as error:
        return [f"{channel.name}, the good request after it: {error}"]
    if found.same_as(sent):
        return []
    return [f"{channel.name}, the good request after it: {found.describe()}"]


@requirement(
    id="SRV-012",
    level="MUST",
    family="serving",
    since="0.2",
    sentence="A batch without any row MUST be answered with no row or refused as the client's "
    "error, and leave the server answering rightly.",
    why="A camera that saw nothing sends an empty batch; the site must not go dark for it.",
    source="Open Inference Protocol (V2): inference; tensor shapes",
)
@pytest.mark.oip
def test_empty_batch(edge: EdgeNode, channels: tuple[Channel, ...], types_model: str) -> None:
    """Send a batch of zero rows over both protocols, and a good one after each."""
    wrong = []
    for channel in channels:
        try:
            found = channel.infer(Ask(types_model, (_batch(0),))).output("OUT_INT32")
        except Refused as refused:
            if refused.status not in CLIENT_ERRORS:
                wrong.append(f"{channel.name}: refused with {refused}")
        except AnswerError as error:
            wrong.append(f"{channel.name}: {error}")
        else:
            if found.shape[0] != 0:
                wrong.append(f"{channel.name}: answered with {found.describe()}")
        wrong += _not_served(channel, types_model)
    assert not wrong, explain(
        promised=f"{edge.name} takes or refuses an empty batch, and serves on",
        seen="; ".join(wrong[:4]),
        since="the model of the role `types` was loaded",
        look=_LOOK,
    )
