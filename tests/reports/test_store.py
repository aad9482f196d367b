"""results.json keeps its schema, is whole at every moment and is read back as it was."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from reports import store
from reports.decode import from_json, to_json
from reports.errors import ReportError
from tests.reports.samples import results
from tests.reports.test_events import line, value


def test_results_come_back_as_they_were(tmp_path: Path) -> None:
    before = results()
    store.write(tmp_path, before)
    after = store.read(tmp_path)
    assert json.loads(to_json(after)) == json.loads(to_json(before))
    assert after.verdict == before.verdict
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


@pytest.mark.parametrize(
    ("field", "wrong", "told"),
    [
        ("schema_version", "2.0", r"\$\.schema_version"),
        ("complete", "yes", r"\$\.complete"),
        ("requirements", [{"id": "PLC-001"}], r"\$\.requirements\[0\]"),
        ("verdict", {"certified": True, "status": "incomplete"}, r"\$\.verdict"),
    ],
)
def test_results_of_another_shape_are_refused(field: str, wrong: object, told: str) -> None:
    content = json.loads(to_json(results()))
    content[field] = wrong
    with pytest.raises(ReportError, match=rf"here: {told}"):
        from_json(json.dumps(content), "here")


def test_certified_needs_the_certified_flag() -> None:
    content = json.loads(to_json(results()))
    content["verdict"] = {"certified": True, "status": "not certified"}
    content["verdict"] |= {"reasons": [], "warnings": []}
    with pytest.raises(ReportError, match=r"certified"):
        from_json(json.dumps(content), "here")


def test_missing_results_are_told(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"results\.json: expected the results of a run"):
        store.read(tmp_path)


def test_killed_run_is_read_with_the_evidence_written_since(tmp_path: Path) -> None:
    partial = results(complete=False)
    nodeid = partial.requirements[0].tests[0].nodeid
    running = replace(partial, faults=(), run=replace(partial.run, running=(nodeid,)))
    store.write(tmp_path, running)
    later = running.run.started_ns + 1
    begun = {"fault": "link-cut", "target": "edge-gpu", "plan": {}, "injected_ns": later}
    (tmp_path / "events.jsonl").write_text(
        line("value", later, value("seen late"), nodeid)
        + "\n"
        + line("fault-begin", later, begun, nodeid)
        + "\n"
    )
    read = store.read(tmp_path)
    assert read.verdict.status == "incomplete"
    assert f"{nodeid} was running" in read.verdict.reasons
    assert [one.over for one in read.faults] == [False]
    assert [one.name for one in read.requirements[0].tests[0].values] == ["seen late"]


def test_stages_are_those_of_this_run(tmp_path: Path) -> None:
    stage = {"stage": "images", "seconds": 2.5, "outcome": "done"}
    (tmp_path / store.TIMINGS).write_text(
        json.dumps(
            [
                {**stage, "ended": "2026-02-28T12:00:00+00:00"},
                {**stage, "ended": "2026-03-01T12:00:00+00:00"},
            ]
        )
    )
    assert len(store.with_evidence(results(), tmp_path).stages) == 1
