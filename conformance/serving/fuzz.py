"""More than a hundred malformed requests, the same ones each time."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np

from conformance.serving import grpc_channel, http_channel
from conformance.serving.http_channel import HEADER_LENGTH
from conformance.serving.messages import Ask
from conformance.serving.tensors import Tensor

SEED = 20_260_001
_GIBIBYTE = 2**30
_INFER = "ModelInfer"

Protocol = Literal["HTTP", "gRPC"]


@dataclass(frozen=True, slots=True)
class Malformed:
    """One bad request: what is wrong with it, and its bytes on the wire.

    ``method`` is gRPC's. A ``torn`` request ends in the middle of its HTTP body, as its client is
    gone: nobody is left to be answered.
    """

    what: str
    protocol: Protocol
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    method: str = _INFER
    torn: bool = False


def numbers() -> Tensor:
    """A good input of the role ``types``."""
    return Tensor("IN_FP32", "FP32", np.array([[1.0, 2.5, -3.0]], np.float32))


def _texts() -> Tensor:
    return Tensor("IN_BYTES", "BYTES", np.array([[b"abc", b"de"]], object))


def malformed(model: str) -> tuple[Malformed, ...]:
    """All of them, in an order that mixes the protocols."""
    dice = random.Random(SEED)
    found = [*_json(model, dice), *_binary(model, dice), *_grpc(model, dice)]
    dice.shuffle(found)
    return tuple(found)


def _json(model: str, dice: random.Random) -> Iterator[Malformed]:
    good, headers = http_channel.encode(Ask(model, (numbers(),)), binary=False)

    def bad(what: str, body: bytes) -> Malformed:
        return Malformed(f"JSON: {what}", "HTTP", body, headers)

    def document(what: str, change: Callable[[dict[str, Any]], object]) -> Malformed:
        content = json.loads(good)
        change(content)
        return bad(what, json.dumps(content).encode())

    def tensor(what: str, **entries: object) -> Malformed:
        return document(what, lambda content: content["inputs"][0].update(entries))

    for cut in dice.sample(range(1, len(good) - 1), 10):
        yield bad(f"cut after {cut} bytes", good[:cut])
    for _ in range(3):
        yield bad("random bytes", dice.randbytes(200))
    for depth in (100, 1000):
        yield bad(f"lists {depth} deep", b'{"inputs":' + b"[" * depth + b"]" * depth + b"}")
        nest = b"[" * depth + b"1" + b"]" * depth
        yield bad(f"data {depth} deep", good.replace(b"[1.0, 2.5, -3.0]", nest))
    yield bad("a number beyond any double", good.replace(b"2.5", b"1e999"))
    yield bad("something after the end", good + b"{}")
    yield bad("another text encoding", good.decode().encode("utf-16"))
    value: object
    for value in ([-1, 3], [1.5, 2], "x", None, {}, [1], [1, 3, 1], [1, _GIBIBYTE // 4]):
        yield tensor(f"shape {value}", shape=value)
    for datatype in ("FP31", "INT64", "BYTES", "", 5, None):
        yield tensor(f"datatype {datatype!r}", datatype=datatype)
    for data in ("abc", {"a": 1}, ["a", "b", "c"], [None] * 3, [1.0], [1.0] * 300, 7):
        yield tensor(f"data {str(data)[:30]}", data=data)
    for name in ("IN_NONE", "", "x" * 10_000, dice.randbytes(8).hex()):
        yield tensor(f"input name {name[:20]!r}", name=name)
    for entry in ("shape", "datatype", "data", "name"):
        yield document(f"no {entry}", partial(_without, entry))
    inputs: object
    for inputs in ({}, [], None, [None], [[]], "x"):
        yield document(f"inputs {inputs}", partial(_with, "inputs", inputs))
    yield document("an input twice", lambda content: content["inputs"].extend(content["inputs"]))
    outputs: object
    for outputs in ({}, [{}], [{"name": "OUT_NONE"}], [{"name": 5}]):
        yield document(f"outputs {outputs}", partial(_with, "outputs", outputs))
    parameters: object
    for parameters in ([1], {"priority": "high"}, {"timeout": "soon"}, {"sequence_id": {}}):
        yield document(f"parameters {parameters}", partial(_with, "parameters", parameters))


def _binary(model: str, dice: random.Random) -> Iterator[Malformed]:
    body, headers = http_channel.encode(Ask(model, (numbers(),)), binary=True)
    size = int(headers[HEADER_LENGTH])

    def bad(what: str, content: bytes, length: str | None = None) -> Malformed:
        said = headers if length is None else {**headers, HEADER_LENGTH: length}
        return Malformed(f"binary: {what}", "HTTP", content, said)

    for cut in dice.sample(range(size, len(body)), 3):
        yield bad(f"data cut after {cut - size} bytes", body[:cut])
    yield bad("more data than the shape says", body + b"more")
    for length in ("0", "-1", "99999999", "99999999999999999999", "none", str(size - 5)):
        yield bad(f"a header length of {length}", body, length)
    for claimed in (-1, 0, 11, 13, _GIBIBYTE, 2**63 - 1, "12"):
        document = json.loads(body[:size])
        document["inputs"][0]["parameters"]["binary_data_size"] = claimed
        if claimed == _GIBIBYTE:
            document["inputs"][0]["shape"] = [1, _GIBIBYTE // 4]
        head = json.dumps(document).encode()
        yield bad(f"a data size of {claimed!r}", head + body[size:], str(len(head)))
    texts, said = http_channel.encode(Ask(model, (_texts(),)), binary=True)
    at = int(said[HEADER_LENGTH])
    for length_field in (b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", b"\x01\x00\x00\x00"):
        lying = texts[:at] + length_field + texts[at + 4 :]
        what = f"binary: a text of {int.from_bytes(length_field, 'little')} bytes"
        yield Malformed(what, "HTTP", lying, said)
    for claimed in (len(body) + 1, _GIBIBYTE):
        yield Malformed(
            f"binary: {claimed} bytes promised by a client that is gone",
            "HTTP",
            body,
            {**headers, "Content-Length": str(claimed)},
            torn=True,
        )


def _grpc(model: str, dice: random.Random) -> Iterator[Malformed]:
    good = grpc_channel.encode(Ask(model, (numbers(),))).SerializeToString()

    def bad(what: str, body: bytes, method: str = _INFER) -> Malformed:
        return Malformed(f"gRPC: {what}", "gRPC", body, method=method)

    def message(
        what: str, change: Callable[[Any], object], tensor: Tensor, *, typed: bool = False
    ) -> Malformed:
        request = grpc_channel.encode(Ask(model, (tensor,)), typed=typed)
        change(request)
        return bad(what, request.SerializeToString())

    for cut in dice.sample(range(len(model) + 4, len(good) - 1), 4):
        yield bad(f"cut after {cut} bytes", good[:cut])
    for _ in range(3):
        yield bad("random bytes", b"\xff" + dice.randbytes(100))
    yield bad("nothing", b"")
    yield bad("a method that is not there", good, "NoSuchMethod")
    for shape in ((), (1,), (1, -3), (-1, 3), (1, 3, 1), (1, _GIBIBYTE // 4), (2**32, 2**32)):
        yield message(f"shape {shape}", partial(_reshape, shape), numbers())
    for raw in (b"", b"abc", b"a" * 50):
        yield message(f"{len(raw)} bytes", partial(_set_raw, raw), numbers())
    for raw in (b"\xff\xff\xff\x7f", b"\xff\xff\xff\xffabc", b"\x01\x00\x00\x00aa"):
        yield message(f"a text {raw!r}", partial(_set_raw, raw), _texts())
    for datatype in ("INT64", "FP31", ""):
        yield message(
            f"datatype {datatype!r}",
            partial(_set_datatype, datatype),
            numbers(),
        )
    yield message("no contents", lambda one: one.raw_input_contents.pop(), numbers())
    yield message("raw and typed contents", _both_contents, numbers())
    yield message(
        "fewer typed elements than the shape says",
        lambda one: one.inputs[0].contents.fp32_contents.pop(),
        numbers(),
        typed=True,
    )
    yield message("an unknown input", lambda one: setattr(one.inputs[0], "name", "X"), numbers())
    yield message("an unknown output", lambda one: one.outputs.add(name="OUT_NONE"), numbers())
    yield message("a version that is no number", _version_word, numbers())
    for name in ("priority", "timeout"):
        yield message(
            f"a word as {name}",
            partial(_word_as, name),
            numbers(),
        )


def _with(key: str, value: object, document: dict[str, Any]) -> None:
    document[key] = value


def _without(entry: str, document: dict[str, Any]) -> None:
    del document["inputs"][0][entry]


def _set_datatype(datatype: str, request: Any) -> None:
    request.inputs[0].datatype = datatype


def _word_as(parameter: str, request: Any) -> None:
    request.parameters[parameter].string_param = "high"


def _reshape(shape: tuple[int, ...], request: Any) -> None:
    del request.inputs[0].shape[:]
    request.inputs[0].shape.extend(shape)


def _set_raw(raw: bytes, request: Any) -> None:
    request.raw_input_contents[0] = raw


def _both_contents(request: Any) -> None:
    request.inputs[0].contents.fp32_contents.extend([1.0, 2.5, -3.0])


def _version_word(request: Any) -> None:
    request.model_version = "latest"
