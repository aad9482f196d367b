"""The decorator's rules, and the plugin that selects by id."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conformance.catalogue import requirement
from conformance.errors import CatalogueError
from tests.conformance.child import CHECKOUT

GOOD = {
    "id": "PLC-900",
    "level": "MUST",
    "family": "placement",
    "since": "0.1",
    "sentence": "A thing MUST hold.",
    "why": "Because.",
    "source": "Somewhere",
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "plc-1"}, "expected like PLC-001"),
        ({"id": "AUT-001"}, "begin with PLC, not with AUT"),
        ({"family": "cooking"}, "expected one of placement"),
        ({"level": "MAY"}, "expected MUST or SHOULD"),
        ({"level": "SHOULD"}, "SHOULD, and no other; found: MUST"),
        ({"sentence": "A thing holds."}, "found: none"),
        ({"sentence": "It MUST hold and SHOULD shine."}, "found: MUST, SHOULD"),
        ({"since": "now"}, "expected like '0.1'"),
        ({"why": " "}, "why is empty"),
        ({"source": ""}, "source is empty"),
    ],
)
def test_badly_written_requirement_is_refused(change: dict[str, str], message: str) -> None:
    with pytest.raises(CatalogueError, match=message):
        requirement(**{**GOOD, **change})  # type: ignore[arg-type]


def test_decorator_leaves_the_marker() -> None:
    @requirement(**GOOD)  # type: ignore[arg-type]
    def shown() -> None: ...

    (mark,) = shown.pytestmark  # type: ignore[attr-defined]
    assert (mark.name, mark.kwargs) == ("requirement", GOOD)


def _tests(ids: list[str]) -> str:
    lines = ["from conformance.catalogue import requirement", "def test_plain(): pass"]
    for number, one in enumerate(ids):
        arguments = ", ".join(f"{key}={value!r}" for key, value in {**GOOD, "id": one}.items())
        lines += [f"@requirement({arguments})", f"def test_{number}(): pass"]
    return "\n".join(lines)


def _pytest(folder: Path, ids: list[str], *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_sample.py").write_text(_tests(ids), "utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", "utf-8")
    return subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "conformance.catalogue", "--strict-markers"),
            *("-p", "no:cacheprovider", "--verbose", *options),
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_requirements_option_selects_by_id(tmp_path: Path) -> None:
    done = _pytest(tmp_path, ["PLC-901", "PLC-902"], "--requirements", "PLC-902")
    assert done.returncode == 0, done.stdout
    assert "test_1 PASSED" in done.stdout
    assert "1 passed, 2 deselected" in done.stdout


def test_family_level_and_keyword_select(tmp_path: Path) -> None:
    for options in (["--family", "placement"], ["--level", "MUST"], ["-k", "PLC-901"]):
        done = _pytest(tmp_path, ["PLC-901"], *options)
        assert "1 passed, 1 deselected" in done.stdout, done.stdout
    done = _pytest(tmp_path, ["PLC-901"], "--level", "SHOULD")
    assert "2 deselected" in done.stdout, done.stdout


def test_families_are_markers(tmp_path: Path) -> None:
    done = _pytest(tmp_path, ["PLC-901"], "-m", "placement")
    assert "1 passed, 1 deselected" in done.stdout, done.stdout


@pytest.mark.parametrize(
    ("ids", "options", "message"),
    [
        (["PLC-901", "PLC-901"], (), "PLC-901 is used twice"),
        (["PLC-901"], ("--requirements", "PLC-999"), "no collected test shows PLC-999"),
        (["PLC-901"], ("--requirements", "placement"), "expected ids like PLC-001"),
        (["PLC-901"], ("--family", "cooking"), "expected one or more of placement"),
    ],
)
def test_misuse_is_a_usage_error(
    tmp_path: Path, ids: list[str], options: tuple[str, ...], message: str
) -> None:
    done = _pytest(tmp_path, ids, *options)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR, done.stdout
    assert message in done.stdout + done.stderr


def test_requirements_page_is_what_the_tests_say() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "conformance", "--check"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
