"""What this generator can do here and now: its rate against a server that does nothing.

It goes the way of the load itself (client, comparison of answers, loop, record, Locust), in the
same process and just before the load, with the largest request of the load. So it is the ceiling
of this run on this machine in its present state; the null server takes its own share of the
machine (at the generator's priority, for that second), so the true ceiling is this or higher.
Imports Locust: for the generator's process only.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import gevent
import numpy as np
from gevent.event import Event

from loadtests import recorder
from loadtests.clients import Server, connect
from loadtests.closedloop import ClosedLoop
from loadtests.errors import GeneratorFailed
from loadtests.ledger import Ledger
from loadtests.null_answers import null_server
from loadtests.payloads import Payload, Payloads
from loadtests.recorder import RecordWriter
from loadtests.records import Int64s
from loadtests.spec import ClosedPlan, LoadSpec, Target
from loadtests.users import environment_for, senders

MAX_CONCURRENCY = 16
"""Enough to keep one process busy; more only adds to what has to be switched between."""

_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Ceiling:
    """Requests per second that were answered rightly, and CPU time of the generator for each."""

    requests_per_s: float
    cpu_us_per_request: float


class _OnePayload(Payloads):
    """A payload book of one page."""

    def __init__(self, payload: Payload) -> None:
        self.all = [payload]

    def choose(self, sequence: int, target: int, batch: int) -> int:
        """The only one."""
        return 0


def measure(spec: LoadSpec, payloads: Payloads, record_file: Path, stop: Event) -> Ceiling:
    """Measure for ``spec.calibration_s`` seconds, or until ``stop`` is set.

    Raises:
        GeneratorFailed: the null server did not run, or an answer of it was not right.
    """
    payload = payloads.largest
    concurrency = min(spec.in_flight_limit, MAX_CONCURRENCY)
    plan = ClosedPlan(concurrency, spec.calibration_s, 0, spec.calibration_s)
    target = Target(payload.model, 1, 1.0, "", payload.atol)
    with (
        null_server(spec.protocol, payload) as port,
        RecordWriter(record_file, {"load": spec.name, "calibration": "yes"}) as writer,
    ):
        server = Server(spec.protocol, "127.0.0.1", port, _TIMEOUT_S, concurrency)
        client = connect(server, [payload])
        ledger = Ledger(writer)
        loop = ClosedLoop(client, ledger, plan, [target], _OnePayload(payload), 0)
        try:
            with senders(
                environment_for(loop, spec.protocol, [payload.model]),
                concurrency,
                spec.ready_timeout_s,
            ):
                begin_cpu_s = time.process_time()
                dispatcher = gevent.spawn(loop.dispatch, time.monotonic_ns(), stop)
                dispatcher.join()
                loop.drain(_TIMEOUT_S)
                cpu_s = time.process_time() - begin_cpu_s
        finally:
            client.close()
    counts = ledger.counts
    if loop.fatal is not None or counts.failed or not counts.right:
        raise GeneratorFailed(
            f"calibration of {spec.name}: {counts.failed} of {counts.dispatched} requests to the "
            f"null server failed: {loop.fatal or ledger.first_errors}"
        )
    ended_ns = recorder.read(record_file).records.ended_ns
    return Ceiling(_rate_per_s(ended_ns, concurrency), cpu_s * 1e6 / counts.right)


def _rate_per_s(ended_ns: Int64s, concurrency: int) -> float:
    """Answers per second from when each connection has had its first one to the last answer."""
    times = np.sort(ended_ns)
    first = min(concurrency, len(times) - 1)
    lasted_ns = int(times[-1] - times[first])
    if lasted_ns <= 0:
        raise GeneratorFailed(f"calibration: {len(times)} answers are too few for a rate")
    return (len(times) - 1 - first) * 1e9 / lasted_ns
