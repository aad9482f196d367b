"""Read-only requirements under xdist: the same outcomes by several workers at once."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from fixtures.profile import Profile
from fixtures.target import Deployment, Evidence
from tests.conformance.child import ATTACH_ONLY, CHECKOUT, LOCK_HELD, read_cases

# A few of the serving family, each once per node: enough for both workers to meet on each server.
REQUIREMENTS = "SRV-001,SRV-002,SRV-003,SRV-004,SRV-005,SRV-006"
TIMEOUT_S = 480.0


@dataclass(frozen=True, slots=True)
class Whole:
    """A run of the requirements: outcomes by test, who ran them, and how long it took."""

    outcomes: dict[str, str]
    workers: frozenset[str]
    seconds: float


def _run(workers: int, profile: Path, folder: Path) -> Whole:
    junit = folder / f"{workers}.xml"
    command = [
        *(sys.executable, "-m", "pytest", "conformance", "-v", "-p", "no:cacheprovider"),
        *(
            "--requirements",
            REQUIREMENTS,
            "-m",
            "not disturbs",
            "-n",
            str(workers),
            "--profile",
            str(profile),
            "--keep",
        ),
        *("--report-dir", str(folder / f"report-{workers}"), f"--junitxml={junit}"),
    ]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    begun = time.monotonic()
    done = subprocess.run(
        command,
        cwd=CHECKOUT,
        env={LOCK_HELD: "1", **inherited, ATTACH_ONLY: "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    seconds = time.monotonic() - begun
    assert junit.exists(), done.stdout[-4000:]
    outcomes = {case.name: case.outcome for case in read_cases(junit)}
    return Whole(outcomes, frozenset(re.findall(r"^\[(gw\d+)\]", done.stdout, re.M)), seconds)


def test_read_only_requirements_run_alike_in_parallel(
    deployment: Deployment, profile: Profile, evidence: Evidence, tmp_path: Path
) -> None:
    alone = _run(0, profile.path, tmp_path)
    parallel = _run(2, profile.path, tmp_path)
    evidence.value("read-only requirements, one process", round(alone.seconds, 1), "s")
    evidence.value("read-only requirements, two workers", round(parallel.seconds, 1), "s")
    assert parallel.workers == {"gw0", "gw1"}, "both workers ran tests"
    assert alone.outcomes, "no read-only test was found"
    assert parallel.outcomes == alone.outcomes
    assert set(alone.outcomes.values()) <= {"passed", "skipped"}
    assert "passed" in alone.outcomes.values()
