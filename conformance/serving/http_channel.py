"""The Open Inference Protocol over HTTP: with JSON tensors, or with the binary extension."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import urllib3

from conformance.errors import AnswerError
from conformance.inference import REQUEST_TIMEOUT_S
from conformance.serving.messages import Answer, Ask, Refused
from conformance.serving.tensors import Tensor, from_flat, from_raw
from fixtures.target import Endpoint

HEADER_LENGTH = "Inference-Header-Content-Length"


def infer_path(model: str, version: str = "") -> str:
    """The path of inference, below the server's address."""
    at = f"/versions/{quote(version, safe='')}" if version else ""
    return f"v2/models/{quote(model, safe='')}{at}/infer"


def encode(ask: Ask, *, binary: bool) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a request."""
    inputs: list[dict[str, Any]] = []
    tail: list[bytes] = []
    for tensor in ask.inputs:
        entry: dict[str, Any] = {
            "name": tensor.name,
            "shape": list(tensor.shape),
            "datatype": tensor.datatype,
        }
        parameters = dict(ask.input_parameters)
        if binary:
            tail.append(tensor.raw())
            parameters["binary_data_size"] = len(tail[-1])
        else:
            entry["data"] = tensor.flat()
        if parameters:
            entry["parameters"] = parameters
        inputs.append(entry)
    document: dict[str, Any] = {"inputs": inputs}
    if ask.id:
        document["id"] = ask.id
    if ask.outputs:
        document["outputs"] = [
            {"name": output.name, "parameters": {**output.parameters, "binary_data": binary}}
            if binary or output.parameters
            else {"name": output.name}
            for output in ask.outputs
        ]
    parameters = dict(ask.parameters)
    if binary and not ask.outputs:
        parameters["binary_data_output"] = True
    if parameters:
        document["parameters"] = parameters
    head = json.dumps(document).encode()
    if not binary:
        return head, {"Content-Type": "application/json"}
    headers = {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(len(head))}
    return head + b"".join(tail), headers


def decode(body: bytes, headers: Mapping[str, str]) -> Answer:
    """Read a response of status 200.

    Raises:
        AnswerError: it is not what the protocol says.
    """
    length = headers.get(HEADER_LENGTH)
    try:
        head = body if length is None else body[: int(length)]
        document = json.loads(head)
        tail = b"" if length is None else body[int(length) :]
        outputs = {}
        for entry in document["outputs"]:
            tensor, tail = _output(entry, tail)
            outputs[tensor.name] = tensor
        if tail:
            raise AnswerError(f"{len(tail)} bytes after the last output's data")
        return Answer(
            model=str(document["model_name"]),
            version=str(document.get("model_version", "")),
            id=str(document.get("id", "")),
            parameters=dict(document.get("parameters", {})),
            outputs=outputs,
        )
    except (ValueError, KeyError, TypeError) as error:
        shown = body[:200]
        raise AnswerError(
            f"not a response of the protocol: {type(error).__name__}: {error}: {shown!r}"
        ) from error


def _output(entry: dict[str, Any], tail: bytes) -> tuple[Tensor, bytes]:
    name, datatype, shape = str(entry["name"]), str(entry["datatype"]), entry["shape"]
    size = entry.get("parameters", {}).get("binary_data_size")
    if size is None:
        return from_flat(name, datatype, shape, _flattened(entry["data"])), tail
    if size > len(tail):
        raise AnswerError(f"output {name}: {len(tail)} of {size} bytes came")
    return from_raw(name, datatype, shape, tail[:size]), tail[size:]


def _flattened(data: list[Any]) -> list[Any]:
    """The protocol allows nested rows as well as a flat list."""
    flat: list[Any] = []
    for element in data:
        if isinstance(element, list):
            flat.extend(_flattened(element))
        else:
            flat.append(element)
    return flat


def error_of(body: bytes) -> str | None:
    """The reason in the protocol's error object; None where the body is not one."""
    try:
        document = json.loads(body)
    except ValueError:
        return None
    reason = document.get("error") if isinstance(document, dict) else None
    return reason if isinstance(reason, str) and reason else None


class HttpChannel:
    """Inference over one HTTP connection."""

    def __init__(self, endpoint: Endpoint, *, binary: bool) -> None:
        self.name = "HTTP binary" if binary else "HTTP JSON"
        self._binary = binary
        self._base = endpoint.http_url
        self._pool = urllib3.PoolManager(retries=False, maxsize=1)

    def infer(self, ask: Ask, timeout_s: float = REQUEST_TIMEOUT_S) -> Answer:
        """Ask, and read the answer."""
        body, headers = encode(ask, binary=self._binary)
        url = f"{self._base}/{infer_path(ask.model, ask.version)}"
        try:
            response = self._pool.request(
                "POST", url, body=body, headers=headers, timeout=timeout_s
            )
        except urllib3.exceptions.HTTPError as error:
            raise AnswerError(f"POST {url}: {type(error).__name__}: {error}") from error
        if response.status != 200:
            reason = error_of(response.data)
            if reason is None:
                raise AnswerError(
                    f"HTTP {response.status} without the protocol's error object: "
                    f"{response.data[:200]!r}"
                )
            raise Refused(response.status, reason)
        return decode(response.data, response.headers)

    def close(self) -> None:
        """Close the connection."""
        self._pool.clear()
