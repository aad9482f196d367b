"""The suite's models on MLServer: what runs in the second server's process, in its own environment.

It is imported by MLServer alone, by the name that ``models.py`` writes into the settings.
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
)
from mlserver.utils import get_model_uri

Array = npt.NDArray[np.generic]

LARGEST_BATCH = 32
_TYPES = {"UINT8": np.uint8, "FP32": np.float32}


class _OneTensorModel(MLModel):  # type: ignore[misc]
    """One input and one output, both with a batch dimension, as the settings' metadata say."""

    def compute(self, rows: Array) -> Array:
        raise NotImplementedError

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = self._rows(payload)
        (wanted,) = self.outputs
        answer = NumpyCodec.encode_output(wanted.name, self.compute(rows))
        return InferenceResponse(
            model_name=self.name, model_version=self.version, id=payload.id, outputs=[answer]
        )

    def _rows(self, payload: InferenceRequest) -> Array:
        """The request's tensor; InferenceError (HTTP 400) where it is not the model's."""
        (wanted,) = self.inputs
        if [one.name for one in payload.inputs] != [wanted.name]:
            names = ", ".join(one.name for one in payload.inputs)
            raise InferenceError(f"inputs: found {names}; expected {wanted.name}")
        (given,) = payload.inputs
        if given.datatype != wanted.datatype:
            raise InferenceError(
                f"{given.name}: datatype: found {given.datatype}; expected {wanted.datatype}"
            )
        if list(given.shape[1:]) != list(wanted.shape[1:]) or not (
            0 < given.shape[0] <= LARGEST_BATCH
        ):
            raise InferenceError(
                f"{given.name}: shape: found {given.shape}; expected 1 to {LARGEST_BATCH} rows "
                f"of {wanted.shape[1:]}"
            )
        return self._decoded(given, wanted)

    def _decoded(self, given: RequestInput, wanted: MetadataTensor) -> Array:
        try:
            decoded: Array = NumpyCodec.decode_input(given)
        except (ValueError, TypeError, OverflowError) as error:
            raise InferenceError(f"{given.name}: unreadable: {error}") from error
        return decoded.astype(_TYPES[wanted.datatype], copy=False)


class OnnxModel(_OneTensorModel):
    """One ONNX graph, on one thread."""

    async def load(self) -> bool:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        graph = await get_model_uri(self.settings)
        self._session = onnxruntime.InferenceSession(
            graph, options, providers=["CPUExecutionProvider"]
        )
        return True

    def compute(self, rows: Array) -> Array:
        (answer,) = self._session.run([self.outputs[0].name], {self.inputs[0].name: rows})
        computed: Array = answer
        return computed


class IdentityModel(_OneTensorModel):
    """Gives its input back."""

    async def load(self) -> bool:
        return True

    def compute(self, rows: Array) -> Array:
        return rows
