"""Runs the test of one requirement in a pytest of its own, against the deployment that is up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree

import yaml

from fixtures.target import JsonValue

CHECKOUT = Path(__file__).resolve().parents[2]
LOCK_HELD = "EDGE_CONFORMANCE_LOCK_HELD"
ATTACH_ONLY = "EDGE_CONFORMANCE_ATTACH_ONLY"
_INTERRUPT_GRACE_S = 60.0


@dataclass(frozen=True, slots=True)
class CaseOutcome:
    """One test of the child: its name, and ``passed``, ``failure``, ``error`` or ``skipped``."""

    name: str
    outcome: str
    message: str
    requirement: str = ""


@dataclass(frozen=True, slots=True)
class ChildRun:
    """What became of a child pytest."""

    exit_code: int
    cases: tuple[CaseOutcome, ...]
    output: str

    def of(self, test: str) -> ChildRun:
        """The same run, as far as one test function is concerned."""
        cases = tuple(case for case in self.cases if case.name.partition("[")[0] == test)
        return replace(self, cases=cases)

    def assert_passed(self) -> None:
        """Every test passed."""
        bad = [case for case in self.cases if case.outcome != "passed"]
        assert self.cases, f"the child ran no test: {self.output[-4000:]}"
        assert not bad, f"exit code {self.exit_code}: {bad}\n{self.output[-4000:]}"

    def assert_failed(self, *fragments: str) -> None:
        """The requirement's test failed, by an assertion of its own, and says all of this."""
        seen = "\n".join(f"{case.name}: {case.outcome}: {case.message}" for case in self.cases)
        context = f"exit code {self.exit_code}; cases:\n{seen or 'none'}\n{self.output[-4000:]}"
        assert self.cases, f"the child ran no test: {context}"
        assert all(case.outcome == "failure" for case in self.cases), (
            f"a deployment that breaks the requirement did not fail its test: {context}"
        )
        for case in self.cases:
            missing = [text for text in fragments if text not in case.message]
            assert not missing, f"{case.name} failed without saying {missing}: {context}"
        assert self.exit_code == 1, context


@dataclass(frozen=True, slots=True)
class Child:
    """How children are run: the parent's profile, and a folder for what they write."""

    profile: Path
    folder: Path

    def run(
        self,
        requirement: str,
        *,
        node: str | None = None,
        changes: Mapping[str, JsonValue] | None = None,
        timeout_s: float = 240.0,
        room: str = "conformance",
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> ChildRun:
        """Run the requirement's test, for one node if named, under a changed profile.

        ``room`` is the folder of the test; ``changes`` maps dotted paths in the profile
        (``nodes.0.accelerator.count``) to values; ``options`` are further ones of pytest, and
        ``environment`` further variables.
        """
        profile = self.folder / "profile.yaml"
        profile.write_text(changed(self.profile.read_text("utf-8"), changes or {}), "utf-8")
        junit = self.folder / "child.xml"
        command = [
            *(sys.executable, "-m", "pytest", room),
            *("--requirements", requirement, "--profile", str(profile), "--keep"),
            *("--report-dir", str(self.folder / "report"), f"--junitxml={junit}"),
            # Its failures are wanted, and told by their messages.
            *("-p", "no:cacheprovider", "--failure-logs=no"),
            *(() if node is None else ("-k", node)),
            *options,
        ]
        exit_code, output = _run(command, timeout_s, environment or {})
        return ChildRun(exit_code, read_cases(junit) if junit.exists() else (), output)


def _run(command: list[str], timeout_s: float, environment: Mapping[str, str]) -> tuple[int, str]:
    # What tells a test process that it is an xdist worker is the parent's, not the child's.
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTEST_XDIST", "PYTEST_CURRENT_TEST", "PYTEST_ADDOPTS"))
    }
    process = subprocess.Popen(
        command,
        cwd=CHECKOUT,
        env={LOCK_HELD: "1", **inherited, **environment, ATTACH_ONLY: "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        output, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        # An interrupted pytest still heals its faults.
        process.send_signal(signal.SIGINT)
        try:
            output, _ = process.communicate(timeout=_INTERRUPT_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
        raise AssertionError(f"the child took longer than {timeout_s:g} s:\n{output}") from None
    return process.returncode, output


def read_cases(junit: Path) -> tuple[CaseOutcome, ...]:
    """Outcomes in a JUnit file."""
    found = []
    for case in ElementTree.parse(junit).iter("testcase"):
        outcome, message = "passed", ""
        # A failed test may also have an error of its teardown, as the breakage is still in force.
        for tag in ("skipped", "error", "failure"):
            for part in case.iter(tag):
                outcome, message = tag, f"{part.get('message', '')}\n{part.text or ''}"
        shown = case.find("properties/property[@name='requirement']")
        requirement = "" if shown is None else shown.get("value", "")
        found.append(CaseOutcome(case.get("name", ""), outcome, message, requirement))
    return tuple(found)


def changed(text: str, changes: Mapping[str, JsonValue]) -> str:
    """The profile with the values at the dotted paths replaced.

    Raises:
        KeyError: when a path names something that the profile does not have.
    """
    document = yaml.safe_load(text)
    for path, value in changes.items():
        *parents, last = path.split(".")
        place = document
        for part in parents:
            place = place[int(part) if isinstance(place, list) else part]
        key = int(last) if isinstance(place, list) else last
        if isinstance(place, dict) and key not in place:
            raise KeyError(f"the profile has no {path}")
        place[key] = value
    return str(yaml.safe_dump(document, sort_keys=False))


def only_node(text: str, name: str) -> Mapping[str, JsonValue]:
    """Changes that leave one node in a profile, and nothing that speaks of the others."""
    document = yaml.safe_load(text)
    (node,) = (one for one in document["nodes"] if one["name"] == name)
    resource = node.get("accelerator", {}).get("resource")
    return {
        "nodes": [node],
        "accelerators": [one for one in document["accelerators"] if one["resource"] == resource],
        "steering.preference": [node["labels"][document["steering"]["acceleratorLabel"]]],
    }
