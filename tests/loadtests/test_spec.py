from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from loadtests.errors import SpecError
from loadtests.spec import ClosedPlan, GeneratorStatus, LoadSpec, Target, default_in_flight_limit

TARGET = Target(model="m", batch=4, weight=1.0, golden_file="golden.npz", atol=1e-4)
SPEC = LoadSpec(
    name="one",
    targets=(TARGET,),
    protocol="http",
    host="192.0.2.1",
    port=8000,
    arrival="constant",
    rate_per_s=40.0,
    duration_s=60.0,
    seed=0,
    schedule_file="schedule.npz",
    closed=None,
    timeout_s=2.0,
    in_flight_limit=108,
    ready_timeout_s=30.0,
    calibration_s=1.0,
    record_file="record.arrows",
    status_file="status.json",
    parent_pid=1,
)
CLOSED = dataclasses.replace(SPEC, schedule_file=None, closed=ClosedPlan(4, 10.0, 100, 60.0))


@pytest.mark.parametrize("spec", [SPEC, CLOSED], ids=["open", "closed"])
def test_written_spec_is_read_back(tmp_path: Path, spec: LoadSpec) -> None:
    spec.write(tmp_path / "spec.json")
    assert LoadSpec.read(tmp_path / "spec.json") == spec


def test_missing_and_unknown_fields_are_named(tmp_path: Path) -> None:
    path = tmp_path / "spec.json"
    data = dataclasses.asdict(SPEC)
    data["ratio"] = data.pop("rate_per_s")
    path.write_text(json.dumps(data))
    with pytest.raises(SpecError, match=r"missing fields: \['rate_per_s'\]; unknown .*'ratio'"):
        LoadSpec.read(path)


def test_unknown_field_of_a_target_is_named(tmp_path: Path) -> None:
    path = tmp_path / "spec.json"
    data = dataclasses.asdict(SPEC)
    data["targets"][0]["size"] = 4
    path.write_text(json.dumps(data))
    with pytest.raises(SpecError, match=r"targets: missing fields: none; unknown .*'size'"):
        LoadSpec.read(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"protocol": "smtp"}, "found 'smtp', expected one of http, grpc"),
        ({"timeout_s": float("nan")}, "timeout_s: found nan"),
        ({"targets": ()}, "targets: found none"),
        ({"schedule_file": None}, "expected one of them"),
        ({"closed": ClosedPlan(1, 1.0, 0, 1.0)}, "expected one of them"),
    ],
)
def test_impossible_values_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        dataclasses.replace(SPEC, **changes)


def test_impossible_targets_and_closed_loops_are_refused() -> None:
    with pytest.raises(SpecError, match="'m': batch: found 0, expected a number above 0"):
        dataclasses.replace(TARGET, batch=0)
    with pytest.raises(SpecError, match="limit_s: found 5, expected at least minimum_s, 10"):
        ClosedPlan(1, 10.0, 0, 5.0)


def test_status_is_none_before_the_first_and_then_the_latest(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    assert GeneratorStatus.read(path) is None
    for state in ("starting", "running"):
        GeneratorStatus(state=state, pid=7, first_errors={"timeout": "x"}).write(path)
    assert GeneratorStatus.read(path) == GeneratorStatus(
        "running", 7, first_errors={"timeout": "x"}
    )
    assert [entry.name for entry in tmp_path.iterdir()] == ["status.json"]


def test_default_limit_never_drops_while_requests_run_into_their_time_out() -> None:
    assert default_in_flight_limit(40.0, 2.0) > 40 * 2
