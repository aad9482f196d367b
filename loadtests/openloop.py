"""The open loop: releases every request at its intended start, whatever the server does."""

from __future__ import annotations

import time

from gevent.event import Event
from gevent.queue import SimpleQueue

from loadtests.alarm import Alarm
from loadtests.clients import Answer, InferenceClient
from loadtests.ledger import Fire, Ledger
from loadtests.payloads import Payloads
from loadtests.records import NEVER, Outcome
from loadtests.schedule import Schedule


class OpenLoop:
    """One schedule, a pool of senders that wait for work, and the record of it all.

    ``dispatch`` runs in one greenlet; ``serve_next`` is called again and again by each of
    ``senders`` senders. A request that finds them all busy is recorded as dropped.
    """

    def __init__(
        self,
        client: InferenceClient,
        ledger: Ledger,
        schedule: Schedule,
        payloads: Payloads,
        in_flight_limit: int,
    ) -> None:
        self.ledger = ledger
        self.fatal: BaseException | None = None
        self.senders = in_flight_limit
        self._client = client
        self._schedule = schedule
        self._payloads = payloads
        self._in_flight = 0
        self._released: SimpleQueue[tuple[int, int]] = SimpleQueue()
        self._idle = Event()
        self._idle.set()

    def dispatch(self, start_ns: int, stop: Event) -> None:
        """Release each request at its intended start, until the schedule ends or ``stop`` is set.

        When behind the schedule, requests are released at once and in order: none is left out.
        """
        counts = self.ledger.counts
        with Alarm(stop) as alarm:
            # An iterator over the array itself: a list of all would be eight times as large.
            for sequence, offset_ns in enumerate(self._schedule.offset_ns):
                intended_ns = start_ns + int(offset_ns)
                if alarm.wait_until(intended_ns):
                    return
                counts.dispatched += 1
                if self._in_flight >= self.senders:
                    detail = f"{self.senders} requests were unanswered"
                    full = Answer(Outcome.DROPPED, detail=detail)
                    self._note(sequence, intended_ns, NEVER, NEVER, full)
                    continue
                self._in_flight += 1
                self._idle.clear()
                self._released.put((sequence, intended_ns))

    def serve_next(self, fire: Fire) -> None:
        """Wait for a released request, send it, and write down what became of it."""
        sequence, intended_ns = self._released.get()
        target, batch = self._what(sequence)
        started_ns = time.monotonic_ns()
        answer = Answer(Outcome.ABORTED, detail="the generator was stopped before the answer")
        try:
            answer = self._client.infer(self._payloads.choose(sequence, target, batch))
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
        fire(target, (ended_ns - intended_ns) / 1e6, answer)

    def drain(self, timeout_s: float) -> bool:
        """Wait until no request is unanswered; whether that came true in time."""
        return bool(self._idle.wait(timeout_s))

    def abandon(self) -> None:
        """Write down as aborted what was released and that no sender has taken."""
        while not self._released.empty():
            sequence, intended_ns = self._released.get()
            self._in_flight -= 1
            answer = Answer(Outcome.ABORTED, detail="never sent")
            self._note(sequence, intended_ns, NEVER, NEVER, answer)

    def _what(self, sequence: int) -> tuple[int, int]:
        return int(self._schedule.target[sequence]), int(self._schedule.batch[sequence])

    def _note(
        self, sequence: int, intended_ns: int, started_ns: int, ended_ns: int, answer: Answer
    ) -> None:
        target, batch = self._what(sequence)
        self.ledger.note(sequence, target, batch, (intended_ns, started_ns, ended_ns), answer)
