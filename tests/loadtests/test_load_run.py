"""Loads against a real server on loopback that stalls, goes away and lies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import psutil
import pytest

from fixtures.paths import CHECKOUT
from fixtures.target import wait_until
from loadtests import recorder
from loadtests.arrivals import constant
from loadtests.errors import GeneratorFailed, SpecError
from loadtests.histogram import LatencyHistogram
from loadtests.plan import Ask, LoadPlan
from loadtests.result import LoadResult
from loadtests.run import LoadRun, Loads
from loadtests.schedule import Schedule
from loadtests.spec import ClosedPlan, GeneratorStatus, Protocol
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
    summary = payload["summary"]
    assert isinstance(summary, dict)
    assert summary["validity"] == "valid", summary["invalid_because"]
    assert summary["dropped_ratio"] == 0.0
    assert LatencyHistogram.decoded(summary["latency_histogram"]).count == 80
    assert loads.folder("calm").joinpath("latency.hlog").read_text().count("\n") == 3 + 2


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_generator_measures_its_own_ceiling(
    server: DisturbedServer, loads: Loads, protocol: Protocol
) -> None:
    with (
        pytest.raises(GeneratorFailed) if protocol == "grpc" else nullcontext(),
        loads.start("ceiling", server, MODEL, 10.0, 1, protocol, 0.2, ready_timeout_s=5.0) as run,
    ):
        run.wait()
    # The disturbed server speaks no gRPC; the null server does, and comes first.
    status = GeneratorStatus.read(loads.folder("ceiling") / "status.json")
    calibration = recorder.read(loads.folder("ceiling") / "calibration.arrows")
    assert calibration.complete
    assert (calibration.records.outcome == Outcome.OK).all()
    assert len(calibration.records) > 10
    if protocol == "http":
        assert status is not None
        assert status.ceiling_per_s > 50
        assert 0 < status.ceiling_cpu_us < 1e6 / status.ceiling_per_s * 2


def test_closed_loop_keeps_its_senders_busy_until_there_is_enough(
    server: DisturbedServer, loads: Loads
) -> None:
    closed = ClosedPlan(concurrency=3, minimum_s=0.5, minimum_requests=20, limit_s=10.0)
    plan = LoadPlan((Ask(MODEL, 2),), "http", "closed", closed.limit_s, closed=closed)
    with loads.offer("closed", server, plan) as run:
        result = run.wait()
    records = result.records
    assert result.summary.failed == 0
    assert len(records) >= 20
    assert (records.intended_ns == records.started_ns).all()
    lasted_s = (result.status.end_ns - result.status.start_ns) / 1e9
    assert 0.5 <= lasted_s < 5.0
    # Never more at once than there are senders, and at some time all of them.
    edges = [(at, 1) for at in records.started_ns] + [(at, -1) for at in records.ended_ns]
    in_flight = np.cumsum([step for _, step in sorted(edges)])
    assert in_flight.max() == 3
    assert not result.status.stopped_early


def test_models_and_batches_are_as_the_schedule_says(server: DisturbedServer, loads: Loads) -> None:
    schedule = Schedule(
        offset_ns=constant(50.0, 1.0),
        target=np.arange(50, dtype=np.uint8) % 2,
        batch=1 + np.arange(50, dtype=np.uint16) % 5,
    )
    plan = LoadPlan((Ask(MODEL, 1), Ask(MODEL, 1)), "http", "trace", 1.0, schedule=schedule)
    with loads.offer("mixed", server, plan) as run:
        result = run.wait()
    assert result.summary.failed == 0
    assert (result.records.target == schedule.target).all()
    assert (result.records.batch == schedule.batch).all()
    assert result.spec.rate_per_s == 50.0


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
        killed_ns.append(time.monotonic_ns())
        run.hold(10.0)

    killed_ns: list[int] = []

    with (
        pytest.raises(GeneratorFailed, match="exit -9"),
        loads.start("killed", server, MODEL, RATE_PER_S, BATCH, "http", 30.0) as run,
    ):
        killed(run)
    read = recorder.read(tmp_path / "load" / "killed" / "record.arrows")
    assert not read.complete
    # No more than the last second is lost: two flushes a second, and one of them may be under way.
    assert read.records.ended_ns.max() > killed_ns[0] - 1_000_000_000
    assert (read.records.sequence == np.arange(len(read.records))).all()


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
