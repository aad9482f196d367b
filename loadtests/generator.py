"""The load generator's process: ``python -m loadtests.generator SPEC.json``.

Measures its own ceiling, waits for the first right answer, then offers the load of the
specification and stops by itself. SIGTERM ends it early but in order: what is unanswered is
awaited, the record gets its end. It ends with the process that started it. Exit status: 0 done,
1 failed, 2 bad specification.
"""

from __future__ import annotations

# Before all else: Locust patches the standard library for gevent when it is imported.
from loadtests.users import environment_for, senders  # isort: skip

import ctypes
import gc
import logging
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import gevent
from gevent.event import Event

from fixtures.target import WaitTimeout, wait_until
from loadtests import calibration
from loadtests.clients import InferenceClient, Server, connect
from loadtests.closedloop import ClosedLoop
from loadtests.errors import GeneratorFailed, LoadError, SpecError
from loadtests.ledger import Ledger, Loop
from loadtests.openloop import OpenLoop
from loadtests.payloads import Payloads
from loadtests.recorder import RecordWriter
from loadtests.records import Outcome
from loadtests.schedule import Schedule
from loadtests.spec import GeneratorStatus, LoadSpec

FLUSH_INTERVAL_S = 0.5
_LEAD_NS = 100_000_000
_DRAIN_MARGIN_S = 1.0
_PR_SET_PDEATHSIG = 1
_REAL_TIME_PRIORITY = 1

log = logging.getLogger(__name__)


def main(argv: list[str]) -> int:
    """Run one load; gives the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    if len(argv) != 2:
        print("usage: python -m loadtests.generator SPEC.json", file=sys.stderr)
        return 2
    try:
        spec = LoadSpec.read(Path(argv[1]))
    except SpecError as error:
        print(error, file=sys.stderr)
        return 2
    stop = Event()
    gevent.signal_handler(signal.SIGTERM, stop.set)
    end_with_parent(spec.parent_pid)
    try:
        Run(spec, stop).offer()
    except LoadError as error:
        status = GeneratorStatus(state="failed", pid=os.getpid(), error=str(error))
        status.write(Path(spec.status_file))
        print(error, file=sys.stderr)
        return 1
    return 0


def end_with_parent(parent_pid: int) -> None:
    """Have the kernel send this process SIGTERM when its parent dies, also by SIGKILL.

    Raises:
        GeneratorFailed: the parent is gone already, or the kernel refused.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0) != 0:
        raise GeneratorFailed(f"prctl(PR_SET_PDEATHSIG): {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent_pid:
        raise GeneratorFailed(f"the process that started this one ({parent_pid}) is gone")


def ask_for_priority() -> None:
    """Ask to be scheduled before the machine's ordinary processes, so that requests leave on time.

    It needs CAP_SYS_NICE; without it the record still says how late requests were sent. A few
    percent of one CPU are taken; the kernel keeps real-time processes from taking all.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(_REAL_TIME_PRIORITY))
    except PermissionError as error:
        log.info("runs at ordinary priority: %s", error)


class Run:
    """One load from its first probe to the end of its record."""

    def __init__(self, spec: LoadSpec, stop: Event) -> None:
        self._spec = spec
        self._stop = stop
        self._status_file = Path(spec.status_file)
        self._status = GeneratorStatus(state="starting", pid=os.getpid())
        self._cpu_start_s = 0.0

    def offer(self) -> None:
        """Offer the load until its end or until the run is told to stop."""
        spec = self._spec
        self._status.write(self._status_file)
        schedule = None if spec.schedule_file is None else Schedule.read(Path(spec.schedule_file))
        payloads = Payloads(spec.targets, _batches(spec, schedule))
        ask_for_priority()
        if spec.calibration_s > 0:
            self._calibrate(payloads)
        server = Server(spec.protocol, spec.host, spec.port, spec.timeout_s, spec.in_flight_limit)
        client = connect(server, payloads.all)
        metadata = {"load": spec.name, "model": spec.model, "protocol": spec.protocol}
        models = [target.model for target in spec.targets]
        try:
            self._await_right_answer(client)
            with RecordWriter(Path(spec.record_file), metadata) as writer:
                loop = _loop(spec, schedule, client, Ledger(writer), payloads)
                environment = environment_for(loop, spec.protocol, models)
                try:
                    with senders(environment, loop.senders, spec.ready_timeout_s):
                        self._run_loop(loop, writer)
                        loop.drain(spec.timeout_s + _DRAIN_MARGIN_S)
                finally:
                    loop.abandon()
            if loop.fatal is not None:
                raise GeneratorFailed(f"a sender failed: {loop.fatal!r}") from loop.fatal
        finally:
            client.close()
        total = environment.stats.total
        self._status = replace(
            self._observed(loop),
            state="done",
            locust_requests=int(total.num_requests),
            locust_failures=int(total.num_failures),
        )
        self._status.write(self._status_file)

    def _calibrate(self, payloads: Payloads) -> None:
        record_file = Path(self._spec.record_file).with_name("calibration.arrows")
        ceiling = calibration.measure(self._spec, payloads, record_file, self._stop)
        self._status = replace(
            self._status,
            ceiling_per_s=ceiling.requests_per_s,
            ceiling_cpu_us=ceiling.cpu_us_per_request,
        )

    def _await_right_answer(self, client: InferenceClient) -> None:
        try:
            wait_until(
                f"load {self._spec.name}: a right answer from {self._spec.model} at "
                f"{self._spec.host}:{self._spec.port} over {self._spec.protocol}",
                lambda: client.infer(0),
                lambda answer: answer.outcome is Outcome.OK or self._stop.is_set(),
                self._spec.ready_timeout_s,
            )
        except WaitTimeout as error:
            raise GeneratorFailed(str(error)) from error

    def _run_loop(self, loop: Loop, writer: RecordWriter) -> None:
        threads = gevent.get_hub().threadpool
        threads.apply(self._status.write, (self._status_file,))
        # What is loaded by now stays: collecting it again and again would hold up requests.
        gc.collect()
        gc.freeze()
        start_ns = time.monotonic_ns() + _LEAD_NS
        planned_end_ns = start_ns + round(self._spec.duration_s * 1e9)
        closed = self._spec.closed is not None
        self._cpu_start_s = time.process_time()
        self._status = replace(self._status, state="running", start_ns=start_ns)
        self._status.write(self._status_file)
        log.info("READY %s", self._spec.name)
        dispatcher = gevent.spawn(loop.dispatch, start_ns, self._stop)
        while not dispatcher.ready():
            gevent.wait([dispatcher], timeout=FLUSH_INTERVAL_S)
            # In a real thread: neither a slow disk nor fsync may delay the next request.
            threads.apply(writer.write, (writer.take(),))
            threads.apply(self._observed(loop).write, (self._status_file,))
        dispatcher.get()
        now_ns = time.monotonic_ns()
        stopped_early = self._stop.is_set() and now_ns < planned_end_ns
        self._status = replace(
            self._status,
            # A closed loop ends when it has enough, not at a time that was known before.
            end_ns=now_ns if stopped_early or closed else planned_end_ns,
            stopped_early=stopped_early,
        )

    def _observed(self, loop: Loop) -> GeneratorStatus:
        counts = loop.ledger.counts
        elapsed_s = (time.monotonic_ns() - self._status.start_ns + _LEAD_NS) / 1e9
        cpu_s = time.process_time() - self._cpu_start_s
        return replace(
            self._status,
            dispatched=counts.dispatched,
            right=counts.right,
            failed=counts.failed,
            last_good_ns=counts.last_good_ns,
            cpu_share=cpu_s / max(elapsed_s, 1e-3),
            cpu_us_per_request=cpu_s * 1e6 / max(counts.dispatched, 1),
            first_errors=dict(loop.ledger.first_errors),
        )


def _batches(spec: LoadSpec, schedule: Schedule | None) -> list[tuple[int, int]]:
    """Which targets are asked with which batches."""
    if schedule is None:
        return [(number, target.batch) for number, target in enumerate(spec.targets)]
    unknown = schedule.target.max(initial=0)
    if unknown >= len(spec.targets):
        raise SpecError(f"schedule: found target {unknown}, there are {len(spec.targets)}")
    return [
        (number, batch) for number in range(len(spec.targets)) for batch in schedule.batches(number)
    ]


def _loop(
    spec: LoadSpec,
    schedule: Schedule | None,
    client: InferenceClient,
    ledger: Ledger,
    payloads: Payloads,
) -> Loop:
    if schedule is not None:
        return OpenLoop(client, ledger, schedule, payloads, spec.in_flight_limit)
    if spec.closed is None:
        raise SpecError(f"load {spec.name!r}: found neither a schedule nor a closed loop")
    return ClosedLoop(client, ledger, spec.closed, spec.targets, payloads, spec.seed)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
