"""What is asked of an inference server and what it answers, whatever the encoding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from conformance.errors import AnswerError
from conformance.inference import REQUEST_TIMEOUT_S
from conformance.serving.tensors import Tensor

Parameter = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Output:
    """An output that is asked for by name."""

    name: str
    parameters: Mapping[str, Parameter] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ask:
    """One inference request; without ``outputs`` all are asked for, without ``version`` any."""

    model: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Output, ...] = ()
    version: str = ""
    id: str = ""
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    input_parameters: Mapping[str, Parameter] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """One inference response, its outputs by name."""

    model: str
    version: str
    id: str
    parameters: Mapping[str, Parameter]
    outputs: Mapping[str, Tensor]

    def output(self, name: str) -> Tensor:
        """The output of that name.

        Raises:
            AnswerError: the answer lacks it.
        """
        if name not in self.outputs:
            raise AnswerError(
                f"the answer lacks {name}; it has {', '.join(self.outputs) or 'none'}"
            )
        return self.outputs[name]


class Refused(AnswerError):
    """The server answered with an error: ``status`` is HTTP's number or gRPC's name of it."""

    def __init__(self, status: int | str, reason: str) -> None:
        super().__init__(f"{status}: {reason}")
        self.status = status
        self.reason = reason


class Channel(Protocol):
    """One encoding of the protocol on one connection to a server."""

    name: str

    def infer(self, ask: Ask, timeout_s: float = REQUEST_TIMEOUT_S) -> Answer:
        """Ask, and read the answer.

        Raises:
            Refused: the server answered with an error.
            AnswerError: it did not answer in time, or with something that cannot be read.
        """
