"""Tensors of the Open Inference Protocol, and how each datatype is written on the wire."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from conformance.errors import AnswerError
from fixtures.target import Array, JsonValue

_NUMPY: Mapping[str, str] = MappingProxyType(
    {
        "BOOL": "?",
        "UINT8": "<u1",
        "UINT16": "<u2",
        "UINT32": "<u4",
        "UINT64": "<u8",
        "INT8": "<i1",
        "INT16": "<i2",
        "INT32": "<i4",
        "INT64": "<i8",
        "FP16": "<f2",
        "FP32": "<f4",
        "FP64": "<f8",
    }
)
DATATYPES: tuple[str, ...] = (*_NUMPY, "BYTES")
"""Every datatype of the protocol that numpy has as well."""

# The protocol has no JSON numbers, and no typed gRPC contents, of half precision.
RAW_ONLY = frozenset({"FP16"})

MAX_BATCH_SIZE = 8
"""What the model of the role ``types`` takes at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """A named tensor; ``array`` holds ``bytes`` objects where the datatype is BYTES."""

    name: str
    datatype: str
    array: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """The tensor's dimensions, the batch first."""
        return self.array.shape

    def raw(self) -> bytes:
        """Row-major, little-endian, each element of BYTES after its length in four bytes."""
        if self.datatype == "BYTES":
            return b"".join(
                struct.pack("<I", len(element)) + element for element in self.array.ravel().tolist()
            )
        return self.array.astype(_NUMPY[self.datatype], copy=False).tobytes()

    def flat(self) -> list[JsonValue]:
        """The elements as JSON has them."""
        elements = self.array.ravel().tolist()
        if self.datatype == "BYTES":
            return [element.decode() for element in elements]
        return list(elements)

    def same_as(self, other: Tensor) -> bool:
        """Whether datatype, shape and every bit of every element agree."""
        return (
            self.datatype == other.datatype
            and self.shape == other.shape
            and self.raw() == other.raw()
        )

    def describe(self) -> str:
        """Datatype, shape and the first elements, for messages."""
        head = ", ".join(repr(element) for element in self.array.ravel().tolist()[:4])
        more = f" and {self.array.size - 4} more" if self.array.size > 4 else ""
        return f"{self.datatype}{list(self.shape)}: {head}{more}"


def numpy_dtype(datatype: str) -> np.dtype[np.generic]:
    """The dtype that holds elements of the datatype.

    Raises:
        AnswerError: the protocol has no such datatype, or numpy has not.
    """
    if datatype == "BYTES":
        return np.dtype(object)
    if datatype not in _NUMPY:
        raise AnswerError(f"datatype {datatype!r} is none of {', '.join(DATATYPES)}")
    return np.dtype(_NUMPY[datatype])


def from_raw(name: str, datatype: str, shape: Sequence[int], raw: bytes) -> Tensor:
    """Read what ``raw`` writes.

    Raises:
        AnswerError: there is not as much data as the shape says.
    """
    dtype = numpy_dtype(datatype)
    elements = np.array(_texts(name, raw), dtype) if datatype == "BYTES" else None
    wanted = int(np.prod(shape, dtype=np.int64))
    size = len(raw) // dtype.itemsize if elements is None else elements.size
    if size != wanted or (elements is None and len(raw) % dtype.itemsize):
        raise AnswerError(
            f"output {name}: {len(raw)} bytes of {datatype}, not the {wanted} elements of its shape"
        )
    if elements is None:
        elements = np.frombuffer(raw, dtype)
    return Tensor(name, datatype, elements.reshape(tuple(shape)))


def from_flat(name: str, datatype: str, shape: Sequence[int], elements: Sequence[object]) -> Tensor:
    """Read elements of JSON or of typed gRPC contents.

    Raises:
        AnswerError: there are not as many as the shape says, or they are not of the datatype.
    """
    values: list[object] = [
        element.encode() if isinstance(element, str) else element for element in elements
    ]
    array = np.empty(len(values), numpy_dtype(datatype))
    try:
        for index, value in enumerate(values):
            array[index] = value
        shaped = array.reshape(tuple(shape))
    except (ValueError, TypeError, OverflowError) as error:
        raise AnswerError(f"output {name} is not {datatype}{list(shape)}: {error}") from error
    return Tensor(name, datatype, shaped)


def _texts(name: str, raw: bytes) -> list[bytes]:
    found = []
    at = 0
    while at < len(raw):
        if at + 4 > len(raw):
            raise AnswerError(f"output {name}: a length that is cut short at byte {at}")
        (length,) = struct.unpack_from("<I", raw, at)
        end = at + 4 + length
        if end > len(raw):
            raise AnswerError(f"output {name}: an element longer than the tensor at byte {at}")
        found.append(raw[at + 4 : end])
        at = end
    return found
