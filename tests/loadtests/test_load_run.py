"""Loads against a real server on loopback that stalls, goes away and lies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from fixtures.paths import CHECKOUT
from fixtures.target import wait_until
from loadtests import recorder
from loadtests.errors import GeneratorFailed, SpecError
from loadtests.result import LoadResult
from loadtests.run import LoadRun, Loads
from loadtests.statistics import Outcome
from tests.loadtests.evidence import ListedEvidence
from tests.loadtests.server import MODEL, DisturbedServer

RATE_PER_S = 40.0
BATCH = 4


def _counts(result: LoadResult) -> dict[str, int]:
    return dict(result.summary.failed_by_kind)


def test_whole_load_is_offered_answered_and_recorded(
    server: DisturbedServer, loads: Loads, listed_evidence: ListedEvidence
) -> None:
    with loads.start("calm", server, MODEL, RATE_PER_S, BATCH, "http", 2.0) as run:
        run.mark("all")
        result = run.wait()
    assert result.summary.offered == 80
    assert result.summary.failed == 0
    assert result.file.complete
    assert not result.status.stopped_early
    assert result.status.dispatched == len(result.records) == 80
    assert set(result.records.batch) == {BATCH}
    assert (result.records.response_bytes > BATCH * 8 * 4).all()
    # Locust saw the same requests as the record.
    assert (result.status.locust_requests, result.status.locust_failures) == (80, 0)
    [(kind, payload)] = listed_evidence.events
    assert kind == "load"
    assert payload["requirement"] == "LOD-999"
    assert payload["record_file"] == "load/calm/record.arrows"
    assert sum(json.loads(json.dumps(payload))["series"]["offered"]) == 80


def test_stall_shows_in_every_request_it_delayed(server: DisturbedServer, loads: Loads) -> None:
    with loads.start("stall", server, MODEL, RATE_PER_S, BATCH, "http", 30.0, timeout_s=5.0) as run:
        run.hold(0.5)
        with server.stalled():
            begun_ns = time.monotonic_ns()
            run.hold(1.0)
            ended_ns = time.monotonic_ns()
        run.await_right_answer(ended_ns, 10.0)
        result = run.stop()
    records = result.records
    stalled = (records.intended_ns > begun_ns) & (records.intended_ns < ended_ns)
    # An open loop goes on sending: one request every 25 ms, none of them answered before the end.
    assert abs(stalled.sum() - (ended_ns - begun_ns) / 1e9 * RATE_PER_S) <= 1
    assert (records.ended_ns[stalled] >= ended_ns).all()
    assert result.summary.max_outage_s >= 0.9
    assert result.summary.max_us is not None
    assert result.summary.max_us >= 900_000
    assert result.status.stopped_early


def test_outage_is_a_row_of_failures_and_ends_with_right_answers(
    server: DisturbedServer, loads: Loads
) -> None:
    with loads.start("outage", server, MODEL, RATE_PER_S, BATCH, "http", 30.0) as run:
        run.mark("before")
        run.hold(0.5)
        run.mark("during")
        server.down()
        run.hold(1.0)
        server.up()
        healed_ns = run.mark("after")
        run.await_right_answer(healed_ns, 10.0)
        run.hold(0.5)
        result = run.stop()
    assert set(_counts(result)) == {"connection"}
    assert result.window("before").offered > 0
    assert result.window("during").failed >= 38
    assert result.summary.max_outage_s >= 1.0
    assert result.recovery_s(healed_ns - 1) is not None
    assert result.status.locust_failures == result.summary.failed
    assert result.status.first_errors is not None
    assert result.status.first_errors["connection"]


def test_wrong_numbers_are_failures(server: DisturbedServer, loads: Loads) -> None:
    with loads.start("wrong", server, MODEL, RATE_PER_S, BATCH, "http", 30.0) as run:
        with server.wrong():
            run.hold(0.5)
        result = run.stop()
    assert set(_counts(result)) == {"wrong_answer"}


def test_full_pool_drops_requests_and_says_so(server: DisturbedServer, loads: Loads) -> None:
    with loads.start(
        "full", server, MODEL, RATE_PER_S, BATCH, "http", 30.0, timeout_s=10.0, in_flight_limit=5
    ) as run:
        with server.stalled():
            run.hold(1.0)
        result = run.stop()
    assert result.summary.dropped >= 30
    assert (result.records.started_ns[result.records.outcome == Outcome.DROPPED] == -1).all()
    assert result.status.dispatched == len(result.records)


def test_unanswered_requests_time_out(server: DisturbedServer, loads: Loads) -> None:
    with loads.start("slow", server, MODEL, RATE_PER_S, BATCH, "http", 30.0, timeout_s=0.3) as run:
        with server.stalled():
            run.hold(1.0)
        result = run.stop()
    assert set(_counts(result)) == {"timeout"}
    assert result.summary.failed >= 20


def test_suspended_generator_sends_late_and_is_not_valid(
    server: DisturbedServer, loads: Loads
) -> None:
    with loads.start("late", server, MODEL, RATE_PER_S, BATCH, "http", 30.0) as run:
        run.hold(0.3)
        process = psutil.Process(_generator_pid(loads, "late"))
        process.suspend()
        run.hold(1.0)
        process.resume()
        run.hold(0.3)
        result = run.stop()
    # Nothing was left out: the missed requests were sent late, and counted from their time.
    assert result.status.dispatched == len(result.records)
    assert result.summary.late >= 30
    assert result.lateness.max_us is not None
    assert result.lateness.max_us >= 900_000
    assert not result.validity.valid
    assert "late" in result.validity.reasons[0]


def test_killed_generator_leaves_a_readable_record(
    server: DisturbedServer, loads: Loads, tmp_path: Path
) -> None:
    def killed(run: LoadRun) -> None:
        run.hold(2.0)
        psutil.Process(_generator_pid(loads, "killed")).kill()
        run.hold(10.0)

    with (
        pytest.raises(GeneratorFailed, match="exit -9"),
        loads.start("killed", server, MODEL, RATE_PER_S, BATCH, "http", 30.0) as run,
    ):
        killed(run)
    read = recorder.read(tmp_path / "load" / "killed" / "record.arrows")
    assert not read.complete
    assert len(read.records) >= 40


def test_unreachable_server_is_reported_with_its_reason(
    server: DisturbedServer, loads: Loads
) -> None:
    server.down()
    with (
        pytest.raises(GeneratorFailed, match=f"right answer from {MODEL}(.|\n)*refused"),
        loads.start("none", server, MODEL, 1.0, 1, "http", 1.0, ready_timeout_s=0.5),
    ):
        pass


def test_name_of_a_load_is_used_once(server: DisturbedServer, loads: Loads) -> None:
    with loads.start("once", server, MODEL, 10.0, 1, "http", 0.2) as run:
        run.wait()
    with (
        pytest.raises(SpecError, match="'once': its name is taken"),
        loads.start("once", server, MODEL, 10.0, 1, "http", 0.2),
    ):
        pass


_STARTER = """
import sys
from pathlib import Path
from loadtests.run import Loads
from tests.loadtests.evidence import ListedEvidence
from tests.loadtests.server import MODEL, DisturbedServer, golden
loads = Loads(ListedEvidence(Path(sys.argv[1])), golden, 500.0, None)
with loads.start("orphan", DisturbedServer(), MODEL, 20.0, 1, "http", 60.0) as run:
    print("running", flush=True)
    run.hold(60.0)
"""


def test_generator_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _STARTER, str(tmp_path)], cwd=CHECKOUT, stdout=subprocess.PIPE
    ) as starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == b"running\n"
        status = json.loads((tmp_path / "load" / "orphan" / "status.json").read_text())
        generator = psutil.Process(status["pid"])
        os.kill(starter.pid, signal.SIGKILL)
    wait_until(
        "the generator to be gone",
        lambda: generator.is_running() and generator.status() != psutil.STATUS_ZOMBIE,
        lambda alive: not alive,
        15.0,
    )
    assert recorder.read(tmp_path / "load" / "orphan" / "record.arrows").complete


def _generator_pid(loads: Loads, name: str) -> int:
    folder = loads.folder(name)
    return int(json.loads((folder / "status.json").read_text())["pid"])
