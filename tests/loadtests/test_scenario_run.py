"""``pytest loadtests --scenario`` as people run it, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from fixtures.paths import CHECKOUT
from tests.loadtests.server import MODEL

SCENARIO = f"""\
apiVersion: edge-conformance/scenario-v1
about: a test
source: a test
targets: [{{model: {MODEL}, batch: 2}}]
protocol: http
spacing: poisson
arrivals: {{constant: {{rate: 20}}}}
duration_s: 60
slo: {{latency_ms: 1000, percentile: 90}}
"""


@dataclass(frozen=True)
class Child:
    """What became of a child run."""

    exit_code: int
    output: str
    report: Path

    def load(self) -> dict[str, object]:
        """The one load of its results."""
        [found] = json.loads((self.report / "results.json").read_text("utf-8"))["loads"]
        assert isinstance(found, dict)
        return found


def run(folder: Path, *options: str) -> Child:
    report = folder / "report"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "loadtests", "-p", "tests.loadtests.stand_in"),
            *("-p", "no:cacheprovider", "--failure-logs=no", "--report-dir", str(report)),
            *options,
        ],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    return Child(done.returncode, done.stdout + done.stderr, report)


def written(folder: Path, text: str) -> str:
    path = folder / "own.yaml"
    path.write_text(text, "utf-8")
    return str(path)


def test_scenario_that_keeps_its_promises_passes_and_is_in_the_report(tmp_path: Path) -> None:
    child = run(tmp_path, "--scenario", written(tmp_path, SCENARIO), "--duration", "3s")
    assert child.exit_code == 0, child.output
    assert "1 passed" in child.output
    load = child.load()
    summary = load["summary"]
    assert isinstance(summary, dict)
    assert (load["name"], load["model"], load["node"]) == ("own", MODEL, "here")
    assert (summary["validity"], summary["verdict"]) == ("valid", "kept")
    page = (child.report / "report.html").read_text("utf-8")
    assert "Kept: p90 of all requests within 1000 ms" in page
    assert "that it reached against a server that does nothing" in page


def test_broken_promise_fails_with_by_how_much_and_when(tmp_path: Path) -> None:
    strict = SCENARIO.replace("latency_ms: 1000", "latency_ms: 0.001")
    child = run(tmp_path, "--scenario", written(tmp_path, strict), "--duration", "2s")
    assert child.exit_code == 1, child.output
    summary = child.load()["summary"]
    assert isinstance(summary, dict)
    # So small an SLO leaves the generator no time either: it is said that it was measured.
    assert summary["verdict"] == "invalid"
    [broken] = [one for one in summary["promises"] if not one["kept"]]
    assert "ms beyond" in broken["seen"]
    assert "after the start, worst in second" in broken["when"]
    assert "p90 of all requests within 0.001 ms" in child.output


def test_node_that_does_not_serve_the_model_is_skipped(tmp_path: Path) -> None:
    child = run(tmp_path, "--scenario", "steady", "-rs")
    assert "no node serves anomaly-window" in child.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--scenario", "stedy"), "--scenario: scenario: found 'stedy', expected one of burst"),
        (("--scenario", "steady", "--duration", "soon"), "--duration: found 'soon', expected"),
        (("--duration", "0s"), "--duration: found '0s'"),
    ],
)
def test_wrong_option_is_told_before_anything_is_started(
    tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    child = run(tmp_path, *options)
    assert child.exit_code == pytest.ExitCode.USAGE_ERROR
    assert message in child.output
    assert not (tmp_path / "report").exists()


def test_without_the_option_no_scenario_is_run(tmp_path: Path) -> None:
    child = run(tmp_path, "--collect-only", "-q")
    assert "test_requests_of_independent_users_are_batched" in child.output
    assert "test_scenarios.py" not in child.output
