"""A pytest plugin for children: it writes down whose requirement's test is running just now.

Loaded with ``-p tests.conformance.present_requirement``; fixtures run with nothing written down.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest

from conformance.catalogue import requirement_of

VARIABLE = "EDGE_CONFORMANCE_PRESENT_REQUIREMENT"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Name the requirement in the file while its test runs."""
    file = Path(os.environ[VARIABLE])
    shown = requirement_of(item)
    _write(file, shown.id if shown else "")
    try:
        return (yield)
    finally:
        _write(file, "")


def _write(file: Path, content: str) -> None:
    partial = file.with_suffix(".partial")
    partial.write_text(content, "utf-8")
    partial.replace(file)
