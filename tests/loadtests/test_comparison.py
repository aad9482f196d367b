from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests import __main__ as command
from loadtests import comparison
from loadtests.comparison import Sample, cliffs_delta, compare
from loadtests.recorder import RecordWriter, Row
from loadtests.records import Outcome

VALUES = st.lists(st.integers(1, 30), min_size=1, max_size=40)
RATE_PER_S = 50


def array(values: list[int]) -> np.ndarray:
    return np.asarray(values, dtype=np.int64)


def run(seed: int, seconds: int = 30, slower: float = 1.0, wobble: float = 0.0) -> Sample:
    """A run whose seconds are each as a whole quicker or slower, as a busy machine's are."""
    generator = np.random.default_rng(seed)
    of_second = np.exp(generator.normal(0.0, wobble, seconds))
    latency = generator.lognormal(8.5, 0.3, (seconds, RATE_PER_S)) * of_second[:, None] * slower
    intended = np.arange(seconds * RATE_PER_S, dtype=np.int64) * (10**9 // RATE_PER_S)
    return Sample(latency.ravel().astype(np.int64), intended)


@given(VALUES, VALUES)
def test_delta_is_what_all_pairs_say_and_turns_with_the_runs(a: list[int], b: list[int]) -> None:
    pairs = [np.sign(two - one) for one in a for two in b]
    found = cliffs_delta(array(a), array(b))
    assert found == pytest.approx(sum(pairs) / len(pairs), abs=1e-9)
    assert cliffs_delta(array(b), array(a)) == pytest.approx(-found, abs=1e-9)


@given(VALUES)
def test_a_run_is_no_different_from_itself(values: list[int]) -> None:
    assert cliffs_delta(array(values), array(values)) == pytest.approx(0.0, abs=1e-12)


def test_slower_run_is_found_with_its_size() -> None:
    found = compare(run(1), run(2, slower=1.5))
    assert found.word == "slower"
    assert found.magnitude == "large"
    assert found.p_value < 0.001
    for change in found.changes:
        assert change.low < 0.5 < change.high
    assert compare(run(2, slower=1.5), run(1)).word == "faster"


def test_difference_that_is_negligible_is_not_called_one() -> None:
    found = compare(run(1, seconds=300), run(2, seconds=300, slower=1.04))
    assert found.p_value < comparison.ALPHA
    assert found.magnitude == "negligible"
    assert found.word == "no difference shown"


def test_chance_is_told_from_difference_though_whole_seconds_share_their_fate() -> None:
    # Shuffled one by one, nearly each of these pairs would be found to differ.
    found = [
        compare(run(seed, wobble=0.4), run(seed + 1000, wobble=0.4)).p_value for seed in range(40)
    ]
    assert sum(value < 0.05 for value in found) <= 6
    assert np.median(found) > 0.2


def test_same_seed_same_result() -> None:
    assert compare(run(1), run(2), seed=4) == compare(run(1), run(2), seed=4)


def test_long_runs_have_no_more_blocks_than_short_ones() -> None:
    long = Sample(np.ones(10_000, np.int64), np.arange(10_000, dtype=np.int64) * 10**9)
    assert comparison.blocks(long).max() + 1 == comparison.MAX_BLOCKS


def test_short_run_is_refused() -> None:
    with pytest.raises(ValueError, match="run B: found right answers in 3 blocks"):
        compare(run(1), run(2, seconds=3))


def record(folder: Path, sample: Sample) -> Path:
    folder.mkdir()
    with RecordWriter(folder / command.RECORD, {}) as writer:
        for number, (latency, intended) in enumerate(
            zip(sample.latency_us.tolist(), sample.intended_ns.tolist(), strict=True)
        ):
            ended = intended + latency * 1000
            writer.add(Row(number, intended, intended, ended, 1, Outcome.OK, 200, 0))
        number = len(sample)
        writer.add(Row(number, 10**12, -1, -1, 1, Outcome.DROPPED, 0, 0))
    return folder


def test_command_says_which_was_slower(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = record(tmp_path / "a", run(1)), record(tmp_path / "b", run(2, slower=1.5))
    assert command.main(["compare", str(a), str(b)]) == 1
    out = capsys.readouterr().out
    assert "A: 1501 requests, 1 of them not answered rightly" in out
    assert "B beside A: slower" in out
    assert command.main(["compare", str(b / command.RECORD), str(a), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["word"] == "faster"


def test_command_says_what_it_cannot_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a").write_text("x")
    assert command.main(["compare", str(tmp_path / "a"), str(tmp_path)]) == 2
    assert "not a load record" in capsys.readouterr().err
