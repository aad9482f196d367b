from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fixtures.target import GoldenSample
from loadtests import golden
from loadtests.errors import SpecError


def sample(value: float, output: str = "Y", atol: float = 1e-3) -> GoldenSample:
    array = np.full(3, value, dtype=np.float32)
    return GoldenSample("m", {"X": array}, {output: array + 1}, atol)


def test_neighbours_in_a_batch_are_different_samples(tmp_path: Path) -> None:
    path = tmp_path / "golden.npz"
    atol = golden.write([sample(0), sample(10, atol=1e-4), sample(20)], path)
    batches = golden.batches(path, 4)
    assert atol == 1e-4
    assert [list(batch.inputs["X"][:, 0]) for batch in batches] == [
        [0, 10, 20, 0],
        [10, 20, 0, 10],
        [20, 0, 10, 20],
    ]
    assert all((batch.outputs["Y"] == batch.inputs["X"] + 1).all() for batch in batches)
    assert batches[0].inputs["X"].dtype == np.float32


def test_no_samples_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no golden samples"):
        golden.write([], tmp_path / "golden.npz")


def test_samples_of_different_models_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"not all have tensors \['Y'\]"):
        golden.write([sample(0), sample(1, output="Z")], tmp_path / "golden.npz")
