"""The open loop: releases every request at its intended start, whatever the server does."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from gevent.event import Event
from gevent.queue import SimpleQueue

from loadtests.clients import Answer, InferenceClient
from loadtests.recorder import RecordWriter, Row
from loadtests.records import NEVER, Int64s, Outcome

Fire = Callable[[float, Answer], None]
"""Told of each answered request: milliseconds from the intended start, and the answer."""


@dataclass(slots=True)
class Counts:
    """What has happened so far."""

    dispatched: int = 0
    right: int = 0
    failed: int = 0
    last_good_ns: int = 0


class OpenLoop:
    """One schedule, a pool of senders that wait for work, and the record of it all.

    ``dispatch`` runs in one greenlet; ``serve_next`` is called again and again by each of
    ``in_flight_limit`` senders. A request that finds them all busy is recorded as dropped.
    """

    def __init__(
        self,
        client: InferenceClient,
        writer: RecordWriter,
        offsets_ns: Int64s,
        batch: int,
        in_flight_limit: int,
    ) -> None:
        self.counts = Counts()
        self.first_errors: dict[str, str] = {}
        self.fatal: BaseException | None = None
        self._client = client
        self._writer = writer
        self._offsets_ns = offsets_ns
        self._batch = batch
        self._limit = in_flight_limit
        self._in_flight = 0
        self._released: SimpleQueue[tuple[int, int]] = SimpleQueue()
        self._idle = Event()
        self._idle.set()

    def dispatch(self, start_ns: int, stop: Event) -> None:
        """Release each request at its intended start, until the schedule ends or ``stop`` is set.

        When behind the schedule, requests are released at once and in order: none is left out.
        """
        for sequence, offset_ns in enumerate(self._offsets_ns.tolist()):
            intended_ns = start_ns + offset_ns
            remaining_ns = intended_ns - time.monotonic_ns()
            if stop.wait(max(0, remaining_ns) / 1e9):
                return
            self.counts.dispatched += 1
            if self._in_flight >= self._limit:
                self._note(
                    sequence,
                    intended_ns,
                    NEVER,
                    NEVER,
                    Answer(Outcome.DROPPED, detail=f"{self._limit} requests were unanswered"),
                )
                continue
            self._in_flight += 1
            self._idle.clear()
            self._released.put((sequence, intended_ns))

    def serve_next(self, fire: Fire) -> None:
        """Wait for a released request, send it, and write down what became of it."""
        sequence, intended_ns = self._released.get()
        started_ns = time.monotonic_ns()
        answer = Answer(Outcome.ABORTED, detail="the generator was stopped before the answer")
        try:
            answer = self._client.infer(sequence)
        except Exception as error:
            self.fatal = self.fatal or error
            answer = Answer(Outcome.ABORTED, detail=f"{type(error).__name__}: {error}")
            raise
        finally:
            ended_ns = time.monotonic_ns()
            self._note(sequence, intended_ns, started_ns, ended_ns, answer)
            self._in_flight -= 1
            if self._in_flight == 0:
                self._idle.set()
        fire((ended_ns - intended_ns) / 1e6, answer)

    def drain(self, timeout_s: float) -> bool:
        """Wait until no request is unanswered; whether that came true in time."""
        return bool(self._idle.wait(timeout_s))

    def abandon(self) -> None:
        """Write down as aborted what was released and that no sender has taken."""
        while not self._released.empty():
            sequence, intended_ns = self._released.get()
            self._in_flight -= 1
            self._note(
                sequence, intended_ns, NEVER, NEVER, Answer(Outcome.ABORTED, detail="never sent")
            )

    def _note(
        self, sequence: int, intended_ns: int, started_ns: int, ended_ns: int, answer: Answer
    ) -> None:
        self._writer.add(
            Row(
                sequence,
                intended_ns,
                started_ns,
                ended_ns,
                self._batch,
                answer.outcome,
                answer.status,
                answer.response_bytes,
            )
        )
        if answer.outcome is Outcome.OK:
            self.counts.right += 1
            self.counts.last_good_ns = ended_ns
        else:
            self.counts.failed += 1
            self.first_errors.setdefault(answer.outcome.label, answer.detail)
