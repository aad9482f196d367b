"""Watching promises, and keeping what was seen for several tests."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import pytest

from conformance.autonomy.once import Once
from conformance.autonomy.watching import Look, Seen, watch


def _watch(*looks: Look, at_least_s: float = 0.0, at_most_s: float = 0.2) -> Seen:
    """The looks one after the other; the last one is seen again and again."""
    sequence = itertools.chain(looks[:-1], itertools.repeat(looks[-1]))
    seen = watch(
        lambda: next(sequence),
        {"it": lambda look: look},
        begun_s=time.monotonic(),
        at_least_s=at_least_s,
        at_most_s=at_most_s,
        interval_s=0.01,
    )
    return seen["it"]


def test_a_kept_promise_ends_the_watch() -> None:
    seen = _watch(Look(False, "not yet"), Look(True, "done"), at_most_s=60.0)
    assert seen.kept
    assert seen.history == ("not yet", "done")
    assert seen.kept_after_s is not None
    assert 0.01 <= seen.kept_after_s < 30.0


def test_a_promise_that_is_broken_again_is_not_kept() -> None:
    seen = _watch(Look(True, "done"), Look(False, "undone"), at_least_s=0.05)
    assert (seen.kept, seen.kept_after_s, seen.last) == (False, None, "undone")
    assert seen.story() == "done → undone"


def test_a_promise_counts_from_when_it_was_kept_for_good() -> None:
    looks = [Look(True, "a"), Look(False, "b"), Look(True, "c")]
    seen = _watch(*looks, at_least_s=0.1)
    assert seen.kept_after_s is not None
    assert seen.kept_after_s >= 0.02


def test_a_late_promise_is_a_result_and_no_error() -> None:
    seen = _watch(Look(False, "never"), at_most_s=0.05)
    assert (seen.kept, seen.history) == (False, ("never",))


def _counting(calls: list[str], act: Callable[[], str]) -> Callable[[], str]:
    def make() -> str:
        calls.append("made")
        return act()

    return make


def test_once_makes_it_once() -> None:
    calls: list[str] = []
    once: Once[str] = Once()
    make = _counting(calls, lambda: "it")
    assert (once.get(make), once.get(make), calls) == ("it", "it", ["made"])


def test_a_failure_is_everybodys() -> None:
    calls: list[str] = []
    once: Once[str] = Once()
    make = _counting(calls, lambda: pytest.fail("no node"))
    with pytest.raises(pytest.fail.Exception, match=r"^no node"):
        once.get(make)
    with pytest.raises(pytest.fail.Exception, match=r"could not be made: .*no node"):
        once.get(make)
    assert calls == ["made"]
