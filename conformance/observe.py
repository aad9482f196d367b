"""Watching a value: until it is as promised, or that it stays so."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Observation(Generic[T]):
    """The last value seen, whether it was as promised, and after how many seconds."""

    value: T
    accepted: bool
    seconds: float


def observe_until(
    probe: Callable[[], T], accept: Callable[[T], bool], bound_s: float, interval_s: float = 0.2
) -> Observation[T]:
    """Look until ``accept`` is true or ``bound_s`` is over; a late value is a result, no error.

    Unlike ``wait_until`` this leaves it to the test to say what a late value means.
    """
    begun = time.monotonic()
    while True:
        value = probe()
        seconds = time.monotonic() - begun
        accepted = accept(value)
        if accepted or seconds >= bound_s:
            return Observation(value, accepted, seconds)
        time.sleep(interval_s)


def observe_while(
    probe: Callable[[], T], accept: Callable[[T], bool], duration_s: float, interval_s: float = 0.5
) -> Observation[T]:
    """Watch that ``accept`` stays true for ``duration_s``; ends at the first value that is not."""
    begun = time.monotonic()
    while True:
        value = probe()
        seconds = time.monotonic() - begun
        accepted = accept(value)
        if not accepted or seconds >= duration_s:
            return Observation(value, accepted, seconds)
        time.sleep(interval_s)
