"""The report folder: ``results.json`` written whole at every moment, and read back."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from reports import events, verdict
from reports.decode import build, from_json, to_json
from reports.errors import ReportError
from reports.model import Requirement, Results, Stage, Value

RESULTS = "results.json"
HTML = "report.html"
JUNIT = "junit.xml"
TIMINGS = "timings.json"


def write_atomically(file: Path, text: str) -> None:
    """Replace a file by new text: a reader, or a kill, finds the old or the new one, whole."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.partial")
    with partial.open("w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    partial.replace(file)
    descriptor = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write(folder: Path, results: Results) -> None:
    """Write ``results.json``."""
    write_atomically(folder / RESULTS, to_json(results))


def read(path: Path) -> Results:
    """Results from a report folder or a ``results.json``; those of a killed run with its evidence.

    Raises:
        ReportError: there are none, or they are not valid.
    """
    file = path / RESULTS if path.is_dir() else path
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ReportError(f"{file}: expected the results of a run: {error}") from error
    results = from_json(text, str(file))
    if results.complete:
        return results
    # The run may have been killed after the last time it wrote its results.
    return judged(with_evidence(results, file.parent))


def with_evidence(results: Results, folder: Path) -> Results:
    """The results with what the evidence and the timings in the folder say by now."""
    found = events.evidence(events.read(folder, results.run.started_ns))
    facts = {fact.name: fact for fact in (*results.facts, *found.facts)}
    return replace(
        results,
        requirements=tuple(_with_values(one, found.values) for one in results.requirements),
        stages=_stages(folder / TIMINGS, results.run.started),
        loads=found.loads,
        faults=found.faults,
        facts=tuple(facts.values()),
        comparison=found.comparison,
    )


def judged(results: Results) -> Results:
    """The results with the verdict that follows from them."""
    found = verdict.judge(
        results.claims,
        results.requirements,
        complete=results.complete,
        running=results.run.running,
        problems=results.run.problems,
    )
    return replace(results, verdict=found)


def _with_values(requirement: Requirement, values: Mapping[str, tuple[Value, ...]]) -> Requirement:
    tests = tuple(
        replace(test, values=values.get(test.nodeid, test.values)) for test in requirement.tests
    )
    return replace(requirement, tests=tests)


def _stages(file: Path, started: str) -> tuple[Stage, ...]:
    if not file.exists():
        return ()
    try:
        kept = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise ReportError(f"{file}: expected JSON, found otherwise: {error}") from error
    if not isinstance(kept, list):
        raise ReportError(f"{file}: expected a list of stages, found {type(kept).__name__}")
    stages = [build(Stage, one) for one in kept]
    # Whole seconds are compared, as timings are kept to the second; earlier ones are of other runs.
    return tuple(one for one in stages if one.ended[:19] >= started[:19])
