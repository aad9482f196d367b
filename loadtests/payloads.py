"""Every request that a load may send: known inputs and right answers, by model and batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtests import golden
from loadtests.errors import SpecError
from loadtests.golden import GoldenBatch
from loadtests.spec import Target


@dataclass(frozen=True, slots=True)
class Payload:
    """One request to a model and its right answer, which holds within ``atol``."""

    model: str
    batch: GoldenBatch
    atol: float

    @property
    def request_bytes(self) -> int:
        """Bytes of its input tensors."""
        return sum(array.nbytes for array in self.batch.inputs.values())


class Payloads:
    """The payloads of a load, to be encoded once; chosen by request number, target and batch."""

    def __init__(self, targets: Sequence[Target], batches: Iterable[tuple[int, int]]) -> None:
        """``batches`` are the pairs of target and batch size that occur."""
        self.all: list[Payload] = []
        self._ranges: dict[tuple[int, int], range] = {}
        for number, batch in sorted(set(batches)):
            target = targets[number]
            found = golden.batches(Path(target.golden_file), batch)
            first = len(self.all)
            self.all += [Payload(target.model, one, target.atol) for one in found]
            self._ranges[number, batch] = range(first, len(self.all))
        if not self.all:
            raise SpecError("payloads: found no request, expected one at least")

    def choose(self, sequence: int, target: int, batch: int) -> int:
        """The index in ``all`` of the payload that request ``sequence`` sends."""
        found = self._ranges[target, batch]
        return found[sequence % len(found)]

    @property
    def largest(self) -> Payload:
        """The payload with the most bytes to send."""
        return max(self.all, key=lambda payload: payload.request_bytes)
