"""Serving: what a request may say beside its data, and which model and version it means."""

from __future__ import annotations

import json

import numpy as np
import pytest

from conformance.catalogue import requirement
from conformance.errors import AnswerError
from conformance.explain import explain
from conformance.inference import HttpClient
from conformance.serving.grpc_client import grpc_client
from conformance.serving.messages import Ask, Channel, Output, Parameter
from conformance.serving.refusals import NOT_FOUND, not_refused
from conformance.serving.tensors import Tensor
from fixtures.target import EdgeNode

_LOOK = "the server's log on the node"
_SINCE = "the model's present version was loaded"
UNKNOWN_MODEL = "no-such-model"
UNKNOWN_VERSION = "999"


def _several() -> tuple[Tensor, ...]:
    return (
        Tensor("IN_INT64", "INT64", np.array([[2**53 + 1, -5]], np.int64)),
        Tensor("IN_FP32", "FP32", np.array([[0.5, -0.25, 3.0]], np.float32)),
        Tensor("IN_BYTES", "BYTES", np.array([[b"left", b"right"]], object)),
    )


def _echoed(tensor: Tensor) -> str:
    return "OUT" + tensor.name.removeprefix("IN")


def _problems(channel: Channel, ask: Ask, wanted: tuple[Tensor, ...], what: str) -> list[str]:
    """What is wrong with the answer, which must echo exactly the wanted tensors."""
    try:
        answer = channel.infer(ask)
    except AnswerError as error:
        return [f"{channel.name}, {what}: {error}"]
    names = sorted(map(_echoed, wanted))
    if sorted(answer.outputs) != names:
        return [f"{channel.name}, {what}: got the outputs {sorted(answer.outputs)}, not {names}"]
    return [
        f"{channel.name}, {what}: sent {tensor.describe()}, "
        f"got {answer.output(_echoed(tensor)).describe()}"
        for tensor in wanted
        if not answer.output(_echoed(tensor)).same_as(tensor)
    ]


@requirement(
    id="SRV-013",
    level="MUST",
    family="serving",
    since="0.2",
    sentence="A request with several inputs MUST get the outputs that it asks for and no others, "
    "in any order of inputs, and an output that the model does not have MUST be refused.",
    why="A request for one small output must not pull a whole feature map over the LAN.",
    source="Open Inference Protocol (V2): inference request, requested outputs",
)
@pytest.mark.oip
def test_requested_outputs(edge: EdgeNode, channels: tuple[Channel, ...], types_model: str) -> None:
    """Send three tensors in both orders; ask for all, for one, for two, and for one too many."""
    first, second, third = sent = _several()
    wrong = []
    for channel in channels:
        asks = (
            ("three inputs", sent, sent),
            ("three inputs the other way round", sent[::-1], sent),
            ("one output of three", sent, (second,)),
            ("two outputs of three", sent, (third, first)),
        )
        for what, inputs, wanted in asks:
            outputs = tuple(Output(_echoed(tensor)) for tensor in wanted)
            wrong += _problems(channel, Ask(types_model, inputs, outputs), wanted, what)
        unknown = Ask(types_model, sent, (Output("OUT_NONE"),))
        wrong += not_refused(channel, unknown, "an output that is not there")
    assert not wrong, explain(
        promised=f"{edge.name} gives the outputs that were asked for, and no others",
        seen="; ".join(wrong[:4]),
        since=_SINCE,
        look=_LOOK,
    )


@requirement(
    id="SRV-014",
    level="MUST",
    family="serving",
    since="0.2",
    sentence="The id of a request MUST come back in its answer, unchanged.",
    why="By the id a gateway finds the part on the belt that an answer belongs to.",
    source="Open Inference Protocol (V2): inference request and response, id",
)
@pytest.mark.oip
def test_request_id(edge: EdgeNode, channels: tuple[Channel, ...], types_model: str) -> None:
    """Send ids of several kinds over both protocols, and compare what came back."""
    ids = ("1", "part-0042/left", "\u00fcber id \u4e2d", "x" * 256)
    wrong = []
    for channel in channels:
        for sent in ids:
            try:
                found = channel.infer(Ask(types_model, _several(), id=sent)).id
            except AnswerError as error:
                wrong.append(f"{channel.name}: id {sent[:40]!r}: {error}")
                continue
            if found != sent:
                wrong.append(f"{channel.name}: sent the id {sent[:40]!r}, got {found[:40]!r}")
    assert not wrong, explain(
        promised=f"{edge.name} gives the request's id back",
        seen="; ".join(wrong[:4]),
        since=_SINCE,
        look=_LOOK,
    )


@requirement(
    id="SRV-015",
    level="MUST",
    family="serving",
    since="0.2",
    sentence="Parameters that a server does not know MUST leave its answer unchanged.",
    why="Gateways tag requests with parameters of their own.",
    source="Open Inference Protocol (V2): parameters",
)
@pytest.mark.oip
def test_unknown_parameters(
    edge: EdgeNode, channels: tuple[Channel, ...], types_model: str
) -> None:
    """Send unknown parameters of each type with the request, its inputs and its outputs."""
    unknown: dict[str, Parameter] = {"vendor_text": "x", "vendor_number": 7, "vendor_flag": True}
    sent = _several()
    outputs = tuple(Output(_echoed(tensor), {"vendor_number": 7}) for tensor in sent)
    asks = (
        ("parameters of the request", Ask(types_model, sent, parameters=unknown)),
        ("parameters of the inputs", Ask(types_model, sent, input_parameters=unknown)),
        ("parameters of the outputs", Ask(types_model, sent, outputs)),
    )
    wrong = []
    for channel in channels:
        for what, ask in asks:
            wrong += _problems(channel, ask, sent, what)
    assert not wrong, explain(
        promised=f"{edge.name} answers as always whatever parameters it does not know",
        seen="; ".join(wrong[:4]),
        since=_SINCE,
        look=_LOOK,
    )


@requirement(
    id="SRV-016",
    level="MUST",
    family="serving",
    since="0.2",
    sentence="An output asked for as a classification MUST come as the k highest values with "
    "their indices, highest first.",
    why="Thin clients show the best three classes and have no code for more.",
    source="Triton: classification extension",
)
@pytest.mark.triton_extension
def test_classification(
    edge: EdgeNode, channels: tuple[Channel, ...], http_binary: Channel, types_model: str
) -> None:
    """Ask for the two best of four, for two rows with different ones."""
    scores = np.array([[0.125, 0.875, 0.5, 0.25], [4.0, 2.0, 1.0, 3.0]], np.float32)
    sent = Tensor("IN_FP32", "FP32", scores)
    ask = Ask(types_model, (sent,), (Output("OUT_FP32", {"classification": 2}),))
    promised = [[(0.875, 1), (0.5, 2)], [(4.0, 0), (3.0, 3)]]
    wrong = []
    for channel in (*channels, http_binary):
        try:
            found = _classes(channel.infer(ask).output("OUT_FP32"))
        except AnswerError as error:
            wrong.append(f"{channel.name}: {error}")
            continue
        if found != promised:
            wrong.append(f"{channel.name}: {found}")
    assert not wrong, explain(
        promised=f"{edge.name} gives the value and index of the two best of each row: {promised}",
        seen="; ".join(wrong),
        since=_SINCE,
        look=_LOOK,
    )


def _classes(tensor: Tensor) -> list[list[tuple[float, int]]]:
    """Value and index of each entry ``value:index[:label]``.

    Raises:
        AnswerError: the tensor does not hold such entries.
    """
    rows: list[list[bytes]] = tensor.array.tolist()
    try:
        parts = [[entry.decode().split(":") for entry in row] for row in rows]
        return [[(float(part[0]), int(part[1])) for part in row] for row in parts]
    except (AttributeError, TypeError, ValueError, IndexError) as error:
        raise AnswerError(f"no classes in {tensor.describe()}: {error}") from error


def _version_answering(channel: Channel, model: str, version: str) -> str:
    """Which version says that it answered, or what went wrong."""
    number = Tensor("INPUT", "INT32", np.array([[41]], np.int32))
    try:
        answer = channel.infer(Ask(model, (number,), version=version))
        found = answer.output("VERSION").array.ravel().tolist()
    except AnswerError as error:
        return str(error)
    if [answer.version] != [str(one) for one in found]:
        return f"version {found}, though the answer names version {answer.version!r}"
    return answer.version


@requirement(
    id="SRV-017",
    level="MUST",
    family="serving",
    since="0.2",
    sentence="A request that names a version MUST be answered by that version, one that names "
    "none by one that the metadata lists, and an unknown version MUST be refused as not found.",
    why="In a canary the old and the new version serve side by side, and clients choose.",
    source="Open Inference Protocol (V2): model versions",
)
@pytest.mark.oip
def test_versions(
    edge: EdgeNode, http: HttpClient, channels: tuple[Channel, ...], versions_model: str
) -> None:
    """Ask versions 1 and 2, none, and one that is not there, over both protocols."""
    # The protocol leaves it to a server whether its metadata list the versions.
    metadata = json.loads(http.send("GET", f"v2/models/{versions_model}").data)
    listed = metadata.get("versions") or ["1", "2"]
    wrong = [] if sorted(listed) == ["1", "2"] else [f"the metadata lists the versions {listed}"]
    number = Tensor("INPUT", "INT32", np.array([[41]], np.int32))
    for channel in channels:
        for version in ("1", "2"):
            found = _version_answering(channel, versions_model, version)
            if found != version:
                wrong.append(f"{channel.name}, version {version}: {found}")
        found = _version_answering(channel, versions_model, "")
        if found not in listed:
            wrong.append(f"{channel.name}, no version named: {found}")
        unknown = Ask(versions_model, (number,), version=UNKNOWN_VERSION)
        wrong += not_refused(channel, unknown, f"version {UNKNOWN_VERSION}", NOT_FOUND)
    assert not wrong, explain(
        promised=f"{edge.name} answers with the version that was asked for",
        seen="; ".join(wrong[:4]),
        since="both versions were loaded",
        look="version_policy in the model's config.pbtxt, and the folders of its versions",
    )


@requirement(
    id="SRV-018",
    level="MUST",
    family="serving",
    since="0.2",
    sentence="A model that is not there MUST be refused as not found, over HTTP and gRPC, and "
    "called not ready.",
    why="A gateway tells a wrong name from a sick server by this alone.",
    source="Open Inference Protocol (V2): inference, model metadata, model ready",
)
@pytest.mark.oip
def test_unknown_model(edge: EdgeNode, http: HttpClient, channels: tuple[Channel, ...]) -> None:
    """Ask inference, metadata and readiness of a model that nobody has."""
    wrong = []
    ask = Ask(UNKNOWN_MODEL, (Tensor("INPUT", "INT32", np.array([[1]], np.int32)),))
    for channel in channels:
        wrong += not_refused(channel, ask, "inference", NOT_FOUND)
    metadata = http.send("GET", f"v2/models/{UNKNOWN_MODEL}").status
    if metadata != 404:
        wrong.append(f"HTTP metadata: status {metadata}")
    ready = http.send("GET", f"v2/models/{UNKNOWN_MODEL}/ready").status
    if not 400 <= ready < 500:
        wrong.append(f"HTTP ready: status {ready}")
    with grpc_client(edge.endpoint) as client:
        if client.model_ready(UNKNOWN_MODEL):
            wrong.append("gRPC ModelReady: yes")
    assert not wrong, explain(
        promised=f"{edge.name} says of a model that it does not have that it is not found",
        seen="; ".join(wrong),
        since="the test asked",
        look=_LOOK,
    )
