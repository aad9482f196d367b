"""Evidence of several processes is merged, also where a kill has torn a line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reports import events
from reports.errors import ReportError


def line(kind: str, t_ns: int, payload: object, test: str = "a.py::test_a") -> str:
    event = {"kind": kind, "t_ns": t_ns, "wall": "w", "test": test, "payload": payload}
    return json.dumps(event, separators=(",", ":"))


def value(name: str) -> dict[str, object]:
    return {"name": name, "value": 1, "unit": None}


def test_files_of_all_processes_are_merged_in_order_of_time(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text(line("value", 30, value("c")) + "\n")
    (tmp_path / "events-gw0.jsonl").write_text(
        line("value", 20, value("b")) + "\n" + line("value", 5, value("of an earlier run")) + "\n"
    )
    found = events.evidence(events.read(tmp_path, since_ns=10))
    assert [one.name for one in found.values["a.py::test_a"]] == ["b", "c"]


def test_torn_last_line_is_left_out(tmp_path: Path) -> None:
    whole, torn = line("value", 1, value("whole")), line("value", 2, value("torn"))
    (tmp_path / "events.jsonl").write_text(f"{whole}\n{torn[: len(torn) // 2]}")
    assert len(events.read(tmp_path, 0)) == 1


def test_run_that_goes_on_in_a_torn_line_keeps_its_event(tmp_path: Path) -> None:
    torn, whole = line("value", 1, value("torn")), line("value", 2, value("whole"))
    (tmp_path / "events.jsonl").write_text(f"{torn[: len(torn) // 2]}{whole}\n")
    found = events.evidence(events.read(tmp_path, 0))
    assert [one.name for one in found.values["a.py::test_a"]] == ["whole"]


def test_broken_line_in_the_middle_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text("nonsense\n" + line("value", 1, value("a")) + "\n")
    with pytest.raises(ReportError, match=r"events\.jsonl:1: .*expected an event"):
        events.read(tmp_path, 0)


def test_event_without_its_fields_is_told(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text(line("load", 1, {"name": "half"}) + "\n")
    with pytest.raises(ReportError, match=r"event 'load' of a\.py::test_a.*Load: expected"):
        events.evidence(events.read(tmp_path, 0))


def test_fault_that_never_ended_stays_open(tmp_path: Path) -> None:
    begun = {"fault": "link-cut", "target": "edge-gpu", "plan": {}, "injected_ns": 5}
    ended = {**begun, "fault": "power-cut", "healed_ns": 9}
    (tmp_path / "events.jsonl").write_text(
        "\n".join(
            [
                line("fault-begin", 1, begun),
                line("fault-begin", 2, {**begun, "fault": "power-cut"}),
                line("fault", 3, ended),
                "",
            ]
        )
    )
    found = events.evidence(events.read(tmp_path, 0))
    assert [(one.fault, one.over, one.healed_ns) for one in found.faults] == [
        ("link-cut", False, None),
        ("power-cut", True, 9),
    ]


def test_appended_event_is_read_again(tmp_path: Path) -> None:
    events.append(tmp_path / "new" / "events-gw1.jsonl", "collected", {"tests": []})
    (event,) = events.read(tmp_path / "new", 0)
    assert (event.kind, event.test, event.payload) == ("collected", "", {"tests": []})


def test_figures_of_both_sides_are_kept_and_the_last_of_each_counts(tmp_path: Path) -> None:
    def figure(side: str, node: str, size: int) -> dict[str, object]:
        return {"figure": "RSS", "side": side, "node": node, "value": size, "unit": "bytes"}

    lines = [
        line("comparison", 1, figure("edge", "edge-a", 1)),
        line("comparison", 2, figure("plain", "plain", 2)),
        line("comparison", 3, figure("edge", "edge-b", 3)),
    ]
    (tmp_path / "events.jsonl").write_text("\n".join(lines) + "\n")
    found = events.evidence(events.read(tmp_path, 0)).comparison
    assert {(one.side, one.node, one.value) for one in found} == {
        ("edge", "edge-b", 3),
        ("plain", "plain", 2),
    }
