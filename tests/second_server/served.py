"""The models as the second server's settings describe them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from fixtures.models.export import anomaly_window_onnx, defect_classifier_onnx
from fixtures.models.networks import CLASSES, IMAGE_SHAPE, WINDOW, anomaly_window, defect_classifier

VECTOR = 16
ANY = -1
_DATATYPES = (
    *("BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"),
    *("FP16", "FP32", "FP64", "BYTES"),
)


@dataclass(frozen=True, slots=True)
class Tensor:
    """Name, datatype and shape of one row."""

    name: str
    datatype: str
    row: tuple[int, ...]

    def document(self) -> dict[str, object]:
        """As the server's settings have it, with a free batch size."""
        return {"name": self.name, "datatype": self.datatype, "shape": [ANY, *self.row]}


@dataclass(frozen=True, slots=True)
class Model:
    """One version of a model; ``runtime`` is its class in ``runtime.py``."""

    name: str
    runtime: str
    largest_batch: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    version: str = "1"
    graph: bytes | None = None

    def write(self, root: Path, module: str) -> None:
        """Write the model's folder below ``root``."""
        folder = root / f"{self.name}-{self.version}"
        folder.mkdir()
        parameters: dict[str, object] = {
            "version": self.version,
            "extra": {"largest_batch": self.largest_batch},
        }
        if self.graph is not None:
            (folder / "model.onnx").write_bytes(self.graph)
            parameters["uri"] = "./model.onnx"
        settings = {
            "name": self.name,
            "implementation": f"{module}.{self.runtime}",
            "parameters": parameters,
            "inputs": [one.document() for one in self.inputs],
            "outputs": [one.document() for one in self.outputs],
        }
        (folder / "model-settings.json").write_text(json.dumps(settings), "utf-8")


def served_models() -> tuple[Model, ...]:
    """The claimed models, and the suite's own for the roles ``types`` and ``versions``."""
    return (
        Model(
            "defect-classifier",
            "OnnxModel",
            16,
            (Tensor("IMAGE", "UINT8", IMAGE_SHAPE),),
            (Tensor("PROBABILITIES", "FP32", (CLASSES,)),),
            graph=defect_classifier_onnx(defect_classifier()),
        ),
        Model(
            "anomaly-window",
            "OnnxModel",
            32,
            (Tensor("WINDOW", "FP32", (WINDOW,)),),
            (Tensor("SCORE", "FP32", (1,)),),
            graph=anomaly_window_onnx(anomaly_window()),
        ),
        Model(
            "identity",
            "EchoModel",
            32,
            (Tensor("INPUT", "FP32", (VECTOR,)),),
            (Tensor("OUTPUT", "FP32", (VECTOR,)),),
        ),
        Model(
            "conformance-types",
            "EchoModel",
            8,
            tuple(Tensor(f"IN_{kind}", kind, (ANY,)) for kind in _DATATYPES),
            tuple(Tensor(f"OUT_{kind}", kind, (ANY,)) for kind in _DATATYPES),
        ),
        *(_version(version) for version in ("1", "2")),
    )


def _version(version: str) -> Model:
    return Model(
        "conformance-versions",
        "VersionModel",
        8,
        (Tensor("INPUT", "INT32", (1,)),),
        (Tensor("OUTPUT", "INT32", (1,)), Tensor("VERSION", "INT32", (1,))),
        version,
    )
