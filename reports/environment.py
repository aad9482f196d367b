"""The machine and the suite that a run took place on and with."""

from __future__ import annotations

import platform
import subprocess
import tomllib
from pathlib import Path

import psutil

from reports.errors import ReportError
from reports.model import Environment, Suite

CHECKOUT = Path(__file__).resolve().parent.parent
_GIT_TIMEOUT_S = 10.0


def environment() -> Environment:
    """The host of the suite."""
    system = platform.freedesktop_os_release()
    return Environment(
        kernel=platform.release(),
        cpu_model=_cpu_model(Path("/proc/cpuinfo").read_text("utf-8")),
        cores=psutil.cpu_count() or 1,
        memory_bytes=psutil.virtual_memory().total,
        os=system.get("PRETTY_NAME", platform.system()),
        architecture=platform.machine(),
        python=platform.python_version(),
    )


def suite(checkout: Path = CHECKOUT) -> Suite:
    """Version, and commit where the suite is a git checkout and git is there."""
    project = tomllib.loads((checkout / "pyproject.toml").read_text("utf-8"))
    version = str(project["project"]["version"])
    if not (checkout / ".git").exists():
        return Suite(version, None, None)
    try:
        commit = _git(checkout, "rev-parse", "HEAD")
        changes = _git(checkout, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError, ReportError):
        # No git, or one that refuses this checkout (another owner): the commit is not known.
        return Suite(version, None, None)
    return Suite(version, commit.strip(), bool(changes.strip()))


def _git(checkout: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(checkout), *arguments],
        capture_output=True,
        text=True,
        timeout=_GIT_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        raise ReportError(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def _cpu_model(cpuinfo: str) -> str:
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        # x86 says "model name", several arm64 kernels only "CPU part".
        if key.strip() in {"model name", "Model", "CPU part"}:
            return value.strip()
    return "unknown"
