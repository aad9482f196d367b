"""The benchmarks: that they measure what they say, and say why where they cannot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import clients, output, profiles, summaries
from benchmarks.measurement import BenchmarkError, Measurement, percentile_us
from loadtests import statistics
from loadtests.null_server import http_answer

REQUESTS = 5


def test_all_clients_get_the_null_servers_answer() -> None:
    with (
        clients.null_server(clients.golden()) as port,
        clients.our_client(port) as ours,
        clients.triton_client(port, compared=True) as theirs,
        clients.bare_socket(port) as bare,
    ):
        contestants = {"ours": ours, "theirs": theirs, "bare": bare}
        durations = clients.take_turns(contestants, REQUESTS)
    assert set(durations) == set(contestants)
    assert all(len(one) == REQUESTS and min(one) > 0 for one in durations.values())


def test_answer_on_the_wire_says_how_long_it_is() -> None:
    head, _, body = http_answer(b"{}raw", 2).partition(b"\r\n\r\n")
    assert b"Content-Length: 5" in head
    assert b"Inference-Header-Content-Length: 2" in head
    assert body == b"{}raw"


def test_made_up_record_is_one_that_can_be_summarised() -> None:
    rows = 10_000
    end_ns = rows * 10**9 // summaries.RATE_PER_S
    found = statistics.summary(summaries.made_up(rows), 50.0, 5.0, 0, end_ns)
    assert found.offered == rows
    assert 0 < found.failed < rows / 100
    assert found.failed_by_kind == {"timeout": found.failed}


def test_percentile_of_nothing_is_refused() -> None:
    assert percentile_us([3000, 1000, 2000], 50) == 2.0
    with pytest.raises(BenchmarkError, match="found no durations"):
        percentile_us([], 50)


def test_command_writes_what_it_measured(tmp_path: Path) -> None:
    assert command.main(["profile", "--output-dir", str(tmp_path)]) == 0
    [file] = tmp_path.glob("bench-*.json")
    document = json.loads(file.read_text("utf-8"))
    assert document["format"] == output.FORMAT
    assert document["left_out"] == {}
    assert document["environment"]["cores"] >= 1
    found = [Measurement(**one) for one in document["measurements"]]
    assert {one.subject for one in found} == {profiles.PROFILE.name}
    assert all(one.unit == "ms" and one.value > 0 for one in found)


def test_command_refuses_an_unknown_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.main(["speed"])
    assert "found speed, expected some of recorder, client" in capsys.readouterr().err


def test_deployment_that_is_not_up_is_left_out_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_CONFORMANCE_STATE", str(tmp_path / "state"))
    assert command.main(["deployment", "--output-dir", str(tmp_path)]) == 1
    [file] = tmp_path.glob("bench-*.json")
    document = json.loads(file.read_text("utf-8"))
    assert "no reference deployment is up" in document["left_out"]["deployment"]
