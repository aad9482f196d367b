"""A pytest plugin for the child run: writes down where each serving requirement comes from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conformance.catalogue import ORIGINS, requirement_of

OPTION = "--origins-file"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where to write."""
    parser.addoption(OPTION, required=True)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Requirement ids with their origin markers, as JSON."""
    found: dict[str, list[str]] = {}
    for item in session.items:
        shown = requirement_of(item)
        if shown is not None:
            found[shown.id] = [one for one in ORIGINS if item.get_closest_marker(one)]
    Path(session.config.getoption(OPTION)).write_text(json.dumps(found), "utf-8")
