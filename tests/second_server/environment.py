"""The second server's virtual environment: pinned, hashed, and kept in the suite's cache."""

from __future__ import annotations

import fcntl
import hashlib
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from fixtures.paths import cache_root

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
_INSTALL_TIMEOUT_S = 600.0


def environment() -> Path:
    """The environment for the present pins, made where it is not there yet (about 90 s)."""
    made_for = "\n".join((REQUIREMENTS.read_text("utf-8"), sys.version, platform.machine()))
    key = hashlib.sha256(made_for.encode()).hexdigest()[:16]
    folder = cache_root() / "venv" / f"second-server-{key}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # The marker is written last: an environment without it was interrupted.
        if not (folder / ".complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            _run(sys.executable, "-m", "venv", str(folder))
            _run(
                *(str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"),
                *("--require-hashes", "--no-deps", "--only-binary=:all:"),
                *("--requirement", str(REQUIREMENTS)),
            )
            (folder / ".complete").touch()
    return folder


def _run(*argv: str) -> None:
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=_INSTALL_TIMEOUT_S, check=False
    )
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr[-2000:]}"
