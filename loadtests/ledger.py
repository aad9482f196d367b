"""What both kinds of loop keep while they run: the record, counts, and the first of each error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gevent.event import Event

from loadtests.clients import Answer
from loadtests.recorder import RecordWriter, Row
from loadtests.records import Outcome

Fire = Callable[[int, float, Answer], None]
"""Told of each answered request: its target, milliseconds from its intended start, the answer."""


class Loop(Protocol):
    """Decides when requests are sent; ``senders`` greenlets serve it."""

    ledger: Ledger
    fatal: BaseException | None
    senders: int

    def dispatch(self, start_ns: int, stop: Event) -> None:
        """Carry out the load from ``start_ns`` until its end or until ``stop`` is set."""

    def serve_next(self, fire: Fire) -> None:
        """In a sender, again and again: send one request and write down what became of it."""

    def drain(self, timeout_s: float) -> bool:
        """Wait until no request is unanswered; whether that came true in time."""

    def abandon(self) -> None:
        """Write down what was released and that no sender has taken."""


@dataclass(slots=True)
class Counts:
    """What has happened so far."""

    dispatched: int = 0
    right: int = 0
    failed: int = 0
    last_good_ns: int = 0


class Ledger:
    """Writes down every request of one generator."""

    def __init__(self, writer: RecordWriter, worker: int = 0) -> None:
        self.counts = Counts()
        self.first_errors: dict[str, str] = {}
        self._writer = writer
        self._worker = worker

    def note(
        self,
        sequence: int,
        target: int,
        batch: int,
        times_ns: tuple[int, int, int],
        answer: Answer,
    ) -> None:
        """Write down one request; ``times_ns`` are its intended start, its start and its end."""
        self._writer.add(
            Row(
                sequence,
                *times_ns,
                batch,
                answer.outcome,
                answer.status,
                answer.response_bytes,
                target,
                self._worker,
            )
        )
        if answer.outcome is Outcome.OK:
            self.counts.right += 1
            self.counts.last_good_ns = times_ns[2]
        else:
            self.counts.failed += 1
            self.first_errors.setdefault(answer.outcome.label, answer.detail)
