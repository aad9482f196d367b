"""Requests that no server may accept, and none may break on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from tritonclient.utils import np_to_triton_dtype

from conformance.inference import prepare
from fixtures.target import Array, GoldenSample

# Far beyond what a model of an edge device would take at once.
OVERSIZED_BATCH = 1024
UNKNOWN_MODEL = "no-such-model"


@dataclass(frozen=True, slots=True)
class MalformedRequest:
    """One bad request: what is wrong with it, and its bytes."""

    fault: str
    model: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Path of the request, below the server's address."""
        return f"v2/models/{self.model}/infer"


def malformed_requests(
    sample: GoldenSample, *, binary: bool = True
) -> tuple[MalformedRequest, ...]:
    """One of each kind, made from a well-formed sample with one input tensor.

    Bad binary tensors are among them only with ``binary``: elsewhere any would be bad.
    """
    (name, array), *_ = sample.inputs.items()
    datatype = np_to_triton_dtype(array.dtype)
    batch = array[np.newaxis, ...]
    good = prepare(sample, binary=False).body
    other = "INT64" if datatype != "INT64" else "FP32"

    def body(tensor: str, shape: tuple[int, ...], kind: str, data: Array) -> bytes:
        entry = {"name": tensor, "shape": list(shape), "datatype": kind, "data": data.tolist()}
        return json.dumps({"inputs": [entry]}).encode()

    flat = batch.ravel()
    requests = (
        MalformedRequest("JSON that ends in the middle", sample.model, good[: len(good) // 2]),
        MalformedRequest("no JSON at all", sample.model, b"\x00\xff not json"),
        MalformedRequest("an empty body", sample.model, b""),
        MalformedRequest(
            "a shape that the model does not have",
            sample.model,
            body(name, (*batch.shape, 2), datatype, np.repeat(flat, 2)),
        ),
        MalformedRequest(
            "less data than the shape says",
            sample.model,
            body(name, batch.shape, datatype, flat[:-1]),
        ),
        MalformedRequest(
            "another datatype than the model's",
            sample.model,
            body(name, batch.shape, other, np.zeros(flat.shape, np.int64)),
        ),
        MalformedRequest(
            "an input that the model does not have",
            sample.model,
            body(f"{name}_UNKNOWN", batch.shape, datatype, flat),
        ),
        MalformedRequest("a model that is not there", UNKNOWN_MODEL, good),
        MalformedRequest(
            f"a batch of {OVERSIZED_BATCH}",
            sample.model,
            body(
                name,
                (OVERSIZED_BATCH, *array.shape),
                datatype,
                np.zeros(OVERSIZED_BATCH * array.size, array.dtype),
            ),
        ),
    )
    if not binary:
        return requests
    whole = prepare(sample, binary=True)
    cut = MalformedRequest(
        "binary data cut short", sample.model, whole.body[:-1], dict(whole.headers)
    )
    return (*requests, cut)
