from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from loadtests.errors import SpecError
from loadtests.spec import GeneratorStatus, LoadSpec, default_in_flight_limit

SPEC = LoadSpec(
    name="one",
    model="m",
    protocol="http",
    host="192.0.2.1",
    port=8000,
    rate_per_s=40.0,
    batch=4,
    duration_s=60.0,
    arrival="constant",
    seed=0,
    timeout_s=2.0,
    in_flight_limit=108,
    ready_timeout_s=30.0,
    golden_file="golden.npz",
    atol=1e-4,
    record_file="record.arrows",
    status_file="status.json",
    parent_pid=1,
)


def test_written_spec_is_read_back(tmp_path: Path) -> None:
    SPEC.write(tmp_path / "spec.json")
    assert LoadSpec.read(tmp_path / "spec.json") == SPEC


def test_missing_and_unknown_fields_are_named(tmp_path: Path) -> None:
    path = tmp_path / "spec.json"
    data = dataclasses.asdict(SPEC)
    data["ratio"] = data.pop("rate_per_s")
    path.write_text(json.dumps(data))
    with pytest.raises(SpecError, match=r"missing fields: \['rate_per_s'\]; unknown .*'ratio'"):
        LoadSpec.read(path)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("protocol", "smtp", "found 'smtp', expected one of http, grpc"),
        ("arrival", "bursts", "found 'bursts', expected one of constant, poisson"),
        ("batch", 0, "batch: found 0, expected a number above 0"),
        ("timeout_s", float("nan"), "timeout_s: found nan"),
    ],
)
def test_impossible_values_are_refused(field: str, value: object, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        LoadSpec(**{**dataclasses.asdict(SPEC), field: value})


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
