"""Watching many promises at once: each must be kept in time, and still be kept at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Look:
    """One look at one promise: whether it is kept, and what was seen, in a few words."""

    kept: bool
    seen: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What a watch has seen of one promise.

    ``kept`` is the state at the end, ``kept_after_s`` since when it has been so without a break
    (seconds from the begin of the watch), and ``history`` what was seen, each change once.
    """

    kept: bool
    kept_after_s: float | None
    history: tuple[str, ...]

    @property
    def last(self) -> str:
        """What was seen last."""
        return self.history[-1] if self.history else "nothing"

    def story(self) -> str:
        """What was seen one after the other, for a message."""
        return " → ".join(self.history[-8:]) or "nothing"


Check = Callable[[S], Look]


class _Promise:
    """One promise while it is being watched."""

    def __init__(self) -> None:
        self._since_s: float | None = None
        self._history: list[str] = []

    def take(self, look: Look, at_s: float) -> None:
        if not self._history or self._history[-1] != look.seen:
            self._history.append(look.seen)
        if not look.kept:
            self._since_s = None
        elif self._since_s is None:
            self._since_s = at_s

    @property
    def kept(self) -> bool:
        return self._since_s is not None

    def seen(self) -> Seen:
        return Seen(self.kept, self._since_s, tuple(self._history))


def watch(
    snapshot: Callable[[], S],
    checks: Mapping[str, Check[S]],
    *,
    begun_s: float,
    at_least_s: float,
    at_most_s: float,
    interval_s: float = 1.0,
) -> Mapping[str, Seen]:
    """Take snapshots until every promise is kept and ``at_least_s`` is over, or ``at_most_s`` is.

    Times count from ``begun_s`` on the monotonic clock. A late promise is a result, no error.
    """
    promises = {name: _Promise() for name in checks}
    while True:
        taken = snapshot()
        at_s = time.monotonic() - begun_s
        for name, check in checks.items():
            promises[name].take(check(taken), at_s)
        done = at_s >= at_least_s and all(promise.kept for promise in promises.values())
        if done or at_s >= at_most_s:
            return {name: promise.seen() for name, promise in promises.items()}
        time.sleep(interval_s)
