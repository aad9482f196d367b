"""Known inputs and right answers of a model, as request batches, and their file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fixtures.target import Array, GoldenSample
from loadtests.errors import SpecError

_INPUT, _OUTPUT = "input/", "output/"
_MAX_BATCHES = 16


@dataclass(frozen=True, slots=True)
class GoldenBatch:
    """The tensors of one request and of its right answer, with a batch dimension."""

    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]


def write(samples: Sequence[GoldenSample], path: Path) -> float:
    """Write samples to an ``.npz`` file; gives the tolerance that their answers share.

    Raises:
        SpecError: there are no samples, or they do not have the same tensors.
    """
    if not samples:
        raise SpecError(f"{path.name}: no golden samples: answers could not be checked")
    first = samples[0]
    arrays: dict[str, Array] = {}
    for prefix, tensors in (
        (_INPUT, [sample.inputs for sample in samples]),
        (_OUTPUT, [sample.outputs for sample in samples]),
    ):
        names = sorted(tensors[0])
        if any(sorted(one) != names for one in tensors):
            raise SpecError(f"golden samples of {first.model}: not all have tensors {names}")
        for name in names:
            arrays[prefix + name] = np.stack([one[name] for one in tensors])
    np.savez(path, allow_pickle=False, **arrays)
    return min(sample.atol for sample in samples)


def batches(path: Path, batch: int) -> tuple[GoldenBatch, ...]:
    """Request batches of ``batch`` items each; neighbours in a batch differ where samples do.

    Different items within one batch show answers that were mixed up, which copies of one sample
    would not.
    """
    with np.load(path, allow_pickle=False) as file:
        inputs = {name.removeprefix(_INPUT): file[name] for name in file if _INPUT in name}
        outputs = {name.removeprefix(_OUTPUT): file[name] for name in file if _OUTPUT in name}
    if not inputs or not outputs:
        raise SpecError(f"{path}: found no {_INPUT}* or no {_OUTPUT}* arrays")
    count = len(next(iter(inputs.values())))
    rows = [
        [(first + item) % count for item in range(batch)]
        for first in range(min(count, _MAX_BATCHES))
    ]
    return tuple(
        GoldenBatch(
            inputs={name: np.ascontiguousarray(array[row]) for name, array in inputs.items()},
            outputs={name: array[row] for name, array in outputs.items()},
        )
        for row in rows
    )
