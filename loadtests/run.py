"""Loads as context managers: one generator process each, never outliving its block."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from fixtures.target import Endpoint, Evidence, GoldenSample, wait_until
from loadtests import golden, recorder
from loadtests.arrivals import Arrival
from loadtests.errors import GeneratorFailed, LoadError, SpecError
from loadtests.result import LoadResult
from loadtests.spec import GeneratorStatus, LoadSpec, default_in_flight_limit
from loadtests.spec import Protocol as WireProtocol
from loadtests.statistics import Window

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
        requirement: str | None,
        process: subprocess.Popen[bytes],
        log_file: Path,
    ) -> None:
        self._spec = spec
        self._node = served.name
        self._slo_ms = slo_ms
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
            self._spec.ready_timeout_s + _START_MARGIN_S,
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
            status=status,
            file=recorder.read(record_file),
            record_file=record_file,
            windows=_windows(self._marks, status.end_ns),
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
    ) -> None:
        self._evidence = evidence
        self._golden_of = golden_of
        self._default_slo_ms = default_slo_ms
        self._requirement = requirement

    def folder(self, name: str) -> Path:
        """Where the files of a load are kept: specification, record, status and log."""
        return self._evidence.report_dir / "load" / name

    @contextmanager
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
    ) -> Iterator[LoadRun]:
        """Offer a load from another process; it has begun when the block is entered.

        ``duration_s`` is the length of the schedule, which ``LoadRun.stop`` may cut short;
        ``timeout_s`` bounds one request. On leaving the block the load is ended in order, its
        result recorded as evidence, and its process is gone, whatever happened.
        """
        folder = self.folder(name)
        _claim(folder)
        endpoint = edge.endpoint
        golden_file = folder / "golden.npz"
        atol = golden.write(self._golden_of(model), golden_file)
        spec = LoadSpec(
            name=name,
            model=model,
            protocol=protocol,
            host=endpoint.host,
            port=endpoint.http_port if protocol == "http" else endpoint.grpc_port,
            rate_per_s=rate_per_s,
            batch=batch,
            duration_s=duration_s,
            arrival=arrival,
            seed=seed,
            timeout_s=timeout_s,
            in_flight_limit=in_flight_limit or default_in_flight_limit(rate_per_s, timeout_s),
            ready_timeout_s=ready_timeout_s,
            golden_file=str(golden_file),
            atol=atol,
            record_file=str(folder / "record.arrows"),
            status_file=str(folder / "status.json"),
            parent_pid=os.getpid(),
        )
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
        run = LoadRun(
            spec, edge, slo_ms or self._default_slo_ms, self._requirement, process, log_file
        )
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
