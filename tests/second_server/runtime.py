"""The suite's models on MLServer: what runs in the second server's process, in its own environment.

It is imported by MLServer alone, by the name that ``server.py`` writes into the settings.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.errors import InferenceError
from mlserver.types import (
    InferenceRequest,
    InferenceResponse,
    MetadataTensor,
    RequestInput,
    ResponseOutput,
)
from mlserver.utils import get_model_uri

Array = npt.NDArray[np.generic]

ANY = -1


class _CheckedModel(MLModel):  # type: ignore[misc]
    """Refuses, as the client's error, every tensor that the settings' metadata do not allow."""

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        known = {one.name: one for one in self.inputs}
        unknown = [one.name for one in payload.inputs if one.name not in known]
        if unknown or not payload.inputs:
            raise InferenceError(f"inputs: found {unknown or 'none'}; expected of {list(known)}")
        rows = {one.name: self._rows(one, known[one.name]) for one in payload.inputs}
        outputs = self.answer(payload.inputs, rows)
        asked = [one.name for one in payload.outputs or ()]
        absent = [one for one in asked if one not in {output.name for output in outputs}]
        if absent:
            raise InferenceError(f"outputs: found {absent}, which this request does not give")
        return InferenceResponse(
            model_name=self.name,
            model_version=self.version,
            id=payload.id,
            outputs=[one for one in outputs if not asked or one.name in asked],
        )

    def answer(self, inputs: list[RequestInput], rows: dict[str, Array]) -> list[ResponseOutput]:
        """All outputs of the request; ``rows`` are its inputs, decoded."""
        raise NotImplementedError

    def _rows(self, given: RequestInput, wanted: MetadataTensor) -> Array:
        """The tensor; text is left unread, as no model here computes with it."""
        if given.datatype != wanted.datatype:
            raise InferenceError(
                f"{given.name}: datatype: found {given.datatype}; expected {wanted.datatype}"
            )
        largest = int(self.settings.parameters.extra["largest_batch"])
        fits = len(given.shape) == len(wanted.shape) and all(
            size in {found, ANY} for found, size in zip(given.shape, wanted.shape, strict=True)
        )
        if not fits or given.shape[0] > largest:
            raise InferenceError(
                f"{given.name}: shape: found {given.shape}; expected {wanted.shape} of at most "
                f"{largest} rows"
            )
        if given.datatype == "BYTES":
            return np.empty(0)
        try:
            decoded: Array = NumpyCodec.decode_input(given)
        except (ValueError, TypeError, OverflowError) as error:
            raise InferenceError(f"{given.name}: unreadable: {error}") from error
        return decoded


class OnnxModel(_CheckedModel):
    """One ONNX graph with one input and one output, on one thread."""

    async def load(self) -> bool:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        graph = await get_model_uri(self.settings)
        self._session = onnxruntime.InferenceSession(
            graph, options, providers=["CPUExecutionProvider"]
        )
        return True

    def answer(self, inputs: list[RequestInput], rows: dict[str, Array]) -> list[ResponseOutput]:
        names = [one.name for one in self.outputs]
        computed = self._session.run(names, rows)
        return [NumpyCodec.encode_output(*one) for one in zip(names, computed, strict=True)]


class EchoModel(_CheckedModel):
    """Gives each input back, unread, as the output of the same place in the metadata."""

    async def load(self) -> bool:
        pairs = zip(self.inputs, self.outputs, strict=True)
        self._names = {given.name: answer.name for given, answer in pairs}
        return True

    def answer(self, inputs: list[RequestInput], rows: dict[str, Array]) -> list[ResponseOutput]:
        return [
            ResponseOutput(
                name=self._names[one.name], shape=one.shape, datatype=one.datatype, data=one.data
            )
            for one in inputs
        ]


class VersionModel(_CheckedModel):
    """Gives its input back, beside the number of the version that answers."""

    async def load(self) -> bool:
        return True

    def answer(self, inputs: list[RequestInput], rows: dict[str, Array]) -> list[ResponseOutput]:
        given = rows["INPUT"]
        version = np.full_like(given, int(self.version))
        return [
            NumpyCodec.encode_output("OUTPUT", given),
            NumpyCodec.encode_output("VERSION", version),
        ]
