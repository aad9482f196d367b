"""The closed loop: each sender sends its next request as soon as the last one is answered.

There is no schedule to be behind: a request's intended start is its actual one, and the rate is
what the server makes it. So a stall shows in as many requests as there are senders, and no more.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from gevent.event import Event

from loadtests.clients import Answer, InferenceClient
from loadtests.ledger import Fire, Ledger
from loadtests.payloads import Payloads
from loadtests.records import Outcome
from loadtests.spec import ClosedPlan, Target

_MIX_LENGTH = 4096
_POLL_S = 0.02


class ClosedLoop:
    """``concurrency`` senders for a time, and until there are enough requests."""

    def __init__(
        self,
        client: InferenceClient,
        ledger: Ledger,
        plan: ClosedPlan,
        targets: Sequence[Target],
        payloads: Payloads,
        seed: int,
    ) -> None:
        self.ledger = ledger
        self.fatal: BaseException | None = None
        self.senders = plan.concurrency
        self._client = client
        self._plan = plan
        self._payloads = payloads
        weights = np.asarray([target.weight for target in targets], dtype=np.float64)
        generator = np.random.default_rng([seed, 2])
        self._mix: list[int] = generator.choice(
            len(targets), size=_MIX_LENGTH, p=weights / weights.sum()
        ).tolist()
        self._batches = [target.batch for target in targets]
        self._begun, self._over, self._never = Event(), Event(), Event()
        self._idle = Event()
        self._idle.set()
        self._in_flight = 0
        self._enough_ns = self._limit_ns = 0

    def dispatch(self, start_ns: int, stop: Event) -> None:
        """Let the senders go from ``start_ns`` on, until there is enough or ``stop`` is set."""
        self._enough_ns = start_ns + round(self._plan.minimum_s * 1e9)
        self._limit_ns = start_ns + round(self._plan.limit_s * 1e9)
        if not stop.wait(max(0, start_ns - time.monotonic_ns()) / 1e9):
            self._begun.set()
            while not self._has_enough() and not stop.wait(_POLL_S):
                pass
        self._over.set()

    def serve_next(self, fire: Fire) -> None:
        """Send one request when the load has begun; wait for the runner's end when it is over."""
        self._begun.wait()
        if self._over.is_set() or self._has_enough():
            self._never.wait()
        counts = self.ledger.counts
        sequence = counts.dispatched
        counts.dispatched += 1
        self._in_flight += 1
        self._idle.clear()
        target = self._mix[sequence % _MIX_LENGTH]
        batch = self._batches[target]
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
            times_ns = (started_ns, started_ns, ended_ns)
            self.ledger.note(sequence, target, batch, times_ns, answer)
            self._in_flight -= 1
            if self._in_flight == 0:
                self._idle.set()
        fire(target, (ended_ns - started_ns) / 1e6, answer)

    def drain(self, timeout_s: float) -> bool:
        """Wait until no request is unanswered; whether that came true in time."""
        return bool(self._idle.wait(timeout_s))

    def abandon(self) -> None:
        """Nothing is ever released without being sent."""

    def _has_enough(self) -> bool:
        now_ns = time.monotonic_ns()
        if now_ns >= self._limit_ns:
            return True
        return now_ns >= self._enough_ns and (
            self.ledger.counts.dispatched >= self._plan.minimum_requests
        )
