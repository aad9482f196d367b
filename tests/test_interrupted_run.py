"""A run that dies in the middle of a cut: the link heals by itself, and the report is kept."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fixtures.target import Capability, Deployment, EdgeNode, wait_until
from tests.conformance.child import ATTACH_ONLY, CHECKOUT, LOCK_HELD

pytestmark = pytest.mark.disturbs
_CUT_S = 12.0

_TEST = f"""
import time
import pytest
from conformance.catalogue import requirement
from fixtures.target import Capability

DETAILS = {{"since": "0.1", "why": "A test of the suite itself.", "source": "tests"}}


@requirement(id="AUT-901", level="MUST", family="autonomy", sentence="It MUST pass.", **DETAILS)
def test_that_passes_before(deployment, evidence):
    evidence.value("seen", 1)


@pytest.mark.disturbs
@requirement(id="AUT-902", level="MUST", family="autonomy", sentence="It MUST be cut.", **DETAILS)
def test_that_is_killed(deployment, faults):
    edge = deployment.edges_with(Capability.LINK)[0]
    with faults.cut_link(edge, {_CUT_S}):
        time.sleep(600)
"""


@pytest.fixture
def edge(deployment: Deployment) -> EdgeNode:
    """The node whose link is cut."""
    return deployment.edges_with(Capability.LINK)[0]


def test_sigkill_in_a_cut_heals_and_keeps_the_report(edge: EdgeNode, tmp_path: Path) -> None:
    (tmp_path / "test_killed.py").write_text(_TEST)
    report = tmp_path / "report"
    command = [sys.executable, "-m", "pytest", "-c", str(CHECKOUT / "pyproject.toml")]
    command += [f"--rootdir={CHECKOUT}", str(tmp_path / "test_killed.py")]
    command += ["--report-dir", str(report), "--keep", "-p", "no:cacheprovider"]
    with (tmp_path / "output.txt").open("w") as output:
        run = subprocess.Popen(
            command,
            cwd=CHECKOUT,
            env={**os.environ, LOCK_HELD: "1", ATTACH_ONLY: "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            wait_until(
                "the child's cut, or its end",
                lambda: edge.link.is_cut() or run.poll() is not None,
                bool,
                timeout_s=60,
                interval_s=0.05,
            )
            cut_at = time.monotonic()
            assert run.poll() is None, (tmp_path / "output.txt").read_text()[-3000:]
        finally:
            if run.poll() is None:
                os.killpg(run.pid, signal.SIGKILL)
            run.wait(timeout=30)
    assert edge.link.is_cut(), "the cut must outlive the run that is killed"
    wait_until(
        f"the link of {edge.name} healed by its own timer",
        edge.link.is_cut,
        lambda cut: not cut,
        timeout_s=_CUT_S + 5,
        interval_s=0.1,
    )
    assert time.monotonic() - cut_at <= _CUT_S + 1.5
    assert edge.link.cloud_reachable_from_node(5)

    results = json.loads((report / "results.json").read_text())
    assert results["complete"] is False
    assert results["verdict"]["status"] == "incomplete"
    outcomes = {one["id"]: one["outcome"] for one in results["requirements"]}
    assert outcomes["AUT-901"] == "passed"
    html = tmp_path / "report.html"
    made = subprocess.run(
        [sys.executable, "-m", "reports", "html", str(report), "-o", str(html)],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    assert "incomplete" in html.read_text().lower()
