"""Loads as context managers: one generator process each, never outliving its block."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from fixtures.target import Endpoint, Evidence, GoldenSample, wait_until
from loadtests import golden, histogram, recorder
from loadtests.arrivals import Arrival, Spacing, arrivals, steady
from loadtests.errors import GeneratorFailed, LoadError, SpecError
from loadtests.plan import Ask, LoadPlan
from loadtests.result import LoadResult
from loadtests.schedule import planned
from loadtests.spec import GeneratorStatus, LoadSpec, Target, default_in_flight_limit
from loadtests.spec import Protocol as WireProtocol
from loadtests.statistics import Window
from loadtests.verdict import Slo

_CHECKOUT = Path(__file__).resolve().parent.parent
_START_MARGIN_S = 30.0
_STOP_MARGIN_S = 15.0
_LOG_TAIL_CHARS = 2000


class Served(Protocol):
    """What a load needs to know of an edge node."""

    @property
    def name(self) -> str:
        """The node's name."""

    @property
    def endpoint(self) -> Endpoint:
        """The node's inference server on the LAN."""


class LoadRun:
    """A load in progress."""

    def __init__(
        self,
        spec: LoadSpec,
        served: Served,
        slo_ms: float,
        slo: Slo | None,
        requirement: str | None,
        process: subprocess.Popen[bytes],
        log_file: Path,
    ) -> None:
        self._spec = spec
        self._node = served.name
        self._slo_ms = slo_ms
        self._slo = slo
        self._requirement = requirement
        self._process = process
        self._log_file = log_file
        self._marks: list[tuple[str, int]] = []
        self._result: LoadResult | None = None

    def await_start(self) -> None:
        """Wait until the first right answer has come and the schedule has begun."""
        wait_until(
            f"load {self._spec.name}: the generator to begin",
            self._living_status,
            lambda status: status is not None and status.state != "starting",
            self._spec.ready_timeout_s + self._spec.calibration_s + _START_MARGIN_S,
            interval_s=0.05,
        )

    def mark(self, name: str) -> int:
        """Begin a window of this name now, ending the one before; gives the time (monotonic ns)."""
        now_ns = time.monotonic_ns()
        self._marks.append((name, now_ns))
        return now_ns

    def hold(self, seconds: float) -> None:
        """Let the load run for so long; GeneratorFailed at once if it ends meanwhile."""
        try:
            exit_code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return
        raise GeneratorFailed(
            f"load {self._spec.name}: the generator ended (exit {exit_code}) while the load should "
            f"have gone on; its schedule is {self._spec.duration_s:g} s long\n{self._log_tail()}"
        )

    def await_right_answer(self, after_ns: int, timeout_s: float) -> None:
        """Wait until a right answer has come after the monotonic time ``after_ns``."""
        wait_until(
            f"load {self._spec.name}: a right answer from {self._spec.model} on {self._node}",
            self._living_status,
            lambda status: status is not None and status.last_good_ns > after_ns,
            timeout_s,
        )

    def wait(self) -> LoadResult:
        """Wait for the end of the schedule, and read the record."""
        return self._finish(self._spec.duration_s + self._spec.timeout_s + _STOP_MARGIN_S)

    def stop(self) -> LoadResult:
        """End the load now, in order, and read the record; the same result when called again."""
        if self._result is None and self._process.poll() is None:
            self._process.terminate()
        return self._finish(self._spec.timeout_s + _STOP_MARGIN_S)

    def kill(self) -> None:
        """End the generator's process at once, if it is still there."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    @property
    def result(self) -> LoadResult | None:
        """The result, once the load is over."""
        return self._result

    def _finish(self, timeout_s: float) -> LoadResult:
        if self._result is not None:
            return self._result
        try:
            exit_code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            self.kill()
            raise GeneratorFailed(
                f"load {self._spec.name}: the generator did not end within {timeout_s:g} s"
                f"\n{self._log_tail()}"
            ) from error
        status = GeneratorStatus.read(Path(self._spec.status_file))
        if exit_code != 0 or status is None or status.state != "done":
            raise GeneratorFailed(
                f"load {self._spec.name}: the generator failed (exit {exit_code}, "
                f"{status.state if status else 'no status'})\n{self._log_tail()}"
            )
        record_file = Path(self._spec.record_file)
        self._result = LoadResult(
            spec=self._spec,
            node=self._node,
            requirement=self._requirement,
            slo_ms=self._slo_ms,
            slo=self._slo,
            status=status,
            file=recorder.read(record_file),
            record_file=record_file,
            windows=_windows(self._marks, status.end_ns),
        )
        histogram.write_log(
            record_file.with_name("latency.hlog"),
            self._result.records,
            status.start_ns,
            status.end_ns,
        )
        return self._result

    def _living_status(self) -> GeneratorStatus | None:
        status = GeneratorStatus.read(Path(self._spec.status_file))
        exit_code = self._process.poll()
        if exit_code is not None:
            raise GeneratorFailed(
                f"load {self._spec.name}: the generator ended (exit {exit_code})"
                f"\n{self._log_tail()}"
            )
        return status

    def _log_tail(self) -> str:
        return self._log_file.read_text(encoding="utf-8", errors="replace")[-_LOG_TAIL_CHARS:]


class Loads:
    """Starts loads for one test, and leaves their results in its evidence."""

    def __init__(
        self,
        evidence: Evidence,
        golden_of: Callable[[str], Sequence[GoldenSample]],
        default_slo_ms: float,
        requirement: str | None,
        calibration_s: float = 1.0,
    ) -> None:
        self._evidence = evidence
        self._golden_of = golden_of
        self._default_slo_ms = default_slo_ms
        self._requirement = requirement
        self._calibration_s = calibration_s

    def folder(self, name: str) -> Path:
        """Where the files of a load are kept: specification, record, status and log."""
        return self._evidence.report_dir / "load" / name

    def start(
        self,
        name: str,
        edge: Served,
        model: str,
        rate_per_s: float,
        batch: int,
        protocol: WireProtocol,
        duration_s: float,
        *,
        timeout_s: float = 2.0,
        slo_ms: float | None = None,
        arrival: Arrival = "constant",
        seed: int = 0,
        in_flight_limit: int | None = None,
        ready_timeout_s: float = 30.0,
    ) -> AbstractContextManager[LoadRun]:
        """Offer one rate to one model; see ``offer``.

        ``duration_s`` is the length of the schedule, which ``LoadRun.stop`` may cut short.
        """
        spacing: Spacing = "poisson" if arrival == "poisson" else "even"
        offsets_ns = arrivals(steady(rate_per_s, duration_s), spacing, seed)
        plan = LoadPlan(
            asks=(Ask(model, batch),),
            protocol=protocol,
            arrival=arrival,
            duration_s=duration_s,
            schedule=planned(offsets_ns, [batch], [1.0], seed),
            seed=seed,
            timeout_s=timeout_s,
            slo_ms=slo_ms,
            in_flight_limit=in_flight_limit,
        )
        return self.offer(name, edge, plan, ready_timeout_s=ready_timeout_s)

    @contextmanager
    def offer(
        self, name: str, edge: Served, plan: LoadPlan, *, ready_timeout_s: float = 30.0
    ) -> Iterator[LoadRun]:
        """Offer a load from another process; it has begun when the block is entered.

        On leaving the block the load is ended in order, its result recorded as evidence, and its
        process is gone, whatever happened.
        """
        folder = self.folder(name)
        _claim(folder)
        spec = self._specification(name, edge, plan, folder, ready_timeout_s)
        spec_file, log_file = folder / "spec.json", folder / "generator.log"
        spec.write(spec_file)
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "loadtests.generator", str(spec_file)],
                cwd=_CHECKOUT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A Ctrl-C in the terminal is for pytest, which then ends the load in order.
                start_new_session=True,
            )
        promised_ms = None if plan.slo is None else plan.slo.latency_ms
        slo_ms = promised_ms or plan.slo_ms or self._default_slo_ms
        run = LoadRun(spec, edge, slo_ms, plan.slo, self._requirement, process, log_file)
        try:
            run.await_start()
            yield run
            run.stop()
        finally:
            try:
                if run.result is None and process.poll() is None:
                    run.stop()
            finally:
                run.kill()
                if run.result is not None:
                    payload = run.result.payload(self._evidence.report_dir)
                    self._evidence.record("load", payload)

    def _specification(
        self, name: str, edge: Served, plan: LoadPlan, folder: Path, ready_timeout_s: float
    ) -> LoadSpec:
        targets = []
        for number, ask in enumerate(plan.asks):
            golden_file = folder / f"golden-{number}.npz"
            atol = golden.write(self._golden_of(ask.model), golden_file)
            targets.append(Target(ask.model, ask.batch, ask.weight, str(golden_file), atol))
        schedule_file = None
        if plan.schedule is not None:
            schedule_file = folder / "schedule.npz"
            plan.schedule.write(schedule_file)
        endpoint = edge.endpoint
        limit = plan.in_flight_limit or (
            default_in_flight_limit(plan.busiest_per_s, plan.timeout_s)
            if plan.closed is None
            else plan.closed.concurrency
        )
        return LoadSpec(
            name=name,
            targets=tuple(targets),
            protocol=plan.protocol,
            host=endpoint.host,
            port=endpoint.http_port if plan.protocol == "http" else endpoint.grpc_port,
            arrival=plan.arrival,
            rate_per_s=plan.rate_per_s,
            duration_s=plan.duration_s,
            seed=plan.seed,
            schedule_file=None if schedule_file is None else str(schedule_file),
            closed=plan.closed,
            timeout_s=plan.timeout_s,
            in_flight_limit=limit,
            ready_timeout_s=ready_timeout_s,
            calibration_s=self._calibration_s,
            record_file=str(folder / "record.arrows"),
            status_file=str(folder / "status.json"),
            parent_pid=os.getpid(),
        )


def _claim(folder: Path) -> None:
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise SpecError(f"load {folder.name!r}: its name is taken in this run: {folder}") from error


def _windows(marks: Sequence[tuple[str, int]], end_ns: int) -> tuple[Window, ...]:
    if len({name for name, _ in marks}) != len(marks):
        raise LoadError(f"windows must have different names, found {[name for name, _ in marks]}")
    starts = [start_ns for _, start_ns in marks]
    return tuple(
        Window(name, start_ns, max(start_ns, stop_ns))
        for (name, start_ns), stop_ns in zip(marks, [*starts, end_ns][1:], strict=True)
    )
