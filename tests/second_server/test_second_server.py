"""The serving family against another server of the same protocol: what is protocol, what Triton.

MLServer runs as a real process on loopback; a pytest of its own tests it as a bare endpoint.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from fixtures.paths import CHECKOUT
from tests.second_server import origins, server
from tests.second_server.environment import environment

OUTCOMES = Path(__file__).with_name("outcomes.yaml")
DOCUMENT = CHECKOUT / "docs" / "second-server.md"
PROFILE = CHECKOUT / "profiles" / "endpoint-example.yaml"
_RUN_TIMEOUT_S = 300.0
# What tells a test process whose child or worker it is, is the parent's.
_PARENTS_OWN = ("PYTEST_", "EDGE_CONFORMANCE_LOCK_HELD", "EDGE_CONFORMANCE_ATTACH_ONLY")


@dataclass(frozen=True, slots=True)
class Expected:
    """What must become of a requirement; ``deviation`` is where the server breaks the protocol."""

    outcome: str
    note: str = ""
    deviation: str = ""

    @property
    def reason(self) -> str:
        """Either of both, as one."""
        return self.deviation or self.note


@dataclass(frozen=True, slots=True)
class Seen:
    """One requirement of the run: its outcome, its message, and its origin markers."""

    outcome: str
    message: str
    origins: tuple[str, ...]


@pytest.fixture(scope="module")
def expected() -> Mapping[str, Expected]:
    document = yaml.safe_load(OUTCOMES.read_text("utf-8"))
    return {one: Expected(**entry) for one, entry in document.items()}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Seen]]:
    """What became of every serving requirement on MLServer."""
    folder = tmp_path_factory.mktemp("second-server")
    with server.running(environment(), folder) as ports:
        yield _run(folder, ports)


def _run(folder: Path, ports: server.Ports) -> Mapping[str, Seen]:
    profile = yaml.safe_load(PROFILE.read_text("utf-8"))
    profile["nodes"][0]["address"] = {
        "lanHost": server.HOST,
        "httpPort": ports.http,
        "grpcPort": ports.grpc,
        "metricsPort": ports.metrics,
    }
    profile["serving"]["conformance"] = {
        "types": "conformance-types",
        "versions": "conformance-versions",
    }
    (folder / "profile.yaml").write_text(yaml.safe_dump(profile), "utf-8")
    marks = folder / "origins.json"
    command = [
        *(sys.executable, "-m", "pytest", "conformance/serving"),
        *("--profile", str(folder / "profile.yaml"), "--report-dir", str(folder / "report")),
        *("-p", origins.__name__, f"{origins.OPTION}={marks}"),
        *("-p", "no:cacheprovider", "--failure-logs=no"),
    ]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_PARENTS_OWN)}
    # A state folder of its own: the lock of the deployment that is up has nothing to do with it.
    kept["EDGE_CONFORMANCE_STATE"] = str(folder / "state")
    done = subprocess.run(
        command,
        cwd=CHECKOUT,
        env=kept,
        capture_output=True,
        text=True,
        timeout=_RUN_TIMEOUT_S,
        check=False,
    )
    results = folder / "report" / "results.json"
    assert results.exists(), f"the run left no results:\n{done.stdout[-4000:]}{done.stderr[-2000:]}"
    found = json.loads(marks.read_text("utf-8"))
    return {
        one["id"]: Seen(one["outcome"], _message(one), tuple(found[one["id"]]))
        for one in json.loads(results.read_text("utf-8"))["requirements"]
    }


def _message(requirement: Mapping[str, object]) -> str:
    text = requirement["message"]
    assert isinstance(text, str)
    return text


def test_every_requirement_ends_as_the_table_says(
    expected: Mapping[str, Expected], seen: Mapping[str, Seen]
) -> None:
    wrong = [
        f"{one}: {seen[one].outcome}, expected {expected[one].outcome}: {seen[one].message[:400]}"
        for one in sorted(seen.keys() & expected.keys())
        if seen[one].outcome != expected[one].outcome
    ]
    missing = sorted(seen.keys() - expected.keys())
    gone = sorted(expected.keys() - seen.keys())
    assert not wrong, "\n".join(wrong)
    assert not missing, f"{OUTCOMES.name} does not say what becomes of {', '.join(missing)}"
    assert not gone, f"{OUTCOMES.name} names {', '.join(gone)}, which no test shows"


def test_what_needs_a_cluster_is_skipped_with_that_reason(seen: Mapping[str, Seen]) -> None:
    rolling_update = seen["SRV-030"]
    assert rolling_update.outcome == "skipped"
    assert "without a cluster or a shell" in rolling_update.message


def test_each_requirement_that_was_asked_says_whose_it_is(seen: Mapping[str, Seen]) -> None:
    asked = {one: what for one, what in seen.items() if what.outcome != "skipped"}
    unclear = {one: what.origins for one, what in asked.items() if len(what.origins) != 1}
    assert asked
    assert not unclear, "expected one of the markers oip and triton_extension for each of these"


def test_what_the_protocol_demands_passes_but_for_the_servers_own_deviations(
    expected: Mapping[str, Expected], seen: Mapping[str, Seen]
) -> None:
    unexplained = [
        one
        for one, what in seen.items()
        if what.origins == ("oip",) and what.outcome == "failed" and not expected[one].deviation
    ]
    wrongly = [one for one, what in expected.items() if what.deviation and what.outcome != "failed"]
    passed = [one for one, what in seen.items() if what.outcome == "passed"]
    assert passed
    assert not unexplained, "a test demands more than the protocol, or the server breaks it"
    assert not wrongly, "a deviation is named for what does not fail"


def test_document_has_this_table(
    expected: Mapping[str, Expected], seen: Mapping[str, Seen]
) -> None:
    table = "\n".join(
        f"| {one} | {_origin(seen[one])} | {what.outcome} | {what.reason} |"
        for one, what in sorted(expected.items())
    )
    assert table in DOCUMENT.read_text("utf-8"), f"{DOCUMENT.name} must hold:\n{table}"


def _origin(what: Seen) -> str:
    words = {"oip": "protocol", "triton_extension": "extension"}
    return words[what.origins[0]] if what.origins else "needs more than an endpoint"


def test_document_names_the_versions() -> None:
    pinned = [
        line.split(" ")[0]
        for line in (Path(__file__).with_name("requirements.txt")).read_text("utf-8").splitlines()
        if line.startswith(("mlserver==", "onnxruntime=="))
    ]
    text = DOCUMENT.read_text("utf-8").lower()
    assert len(pinned) == 2
    assert [one for one in pinned if one.replace("==", " ") not in text] == []
