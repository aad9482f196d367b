"""A pytest plugin for child runs: the small server of these tests stands where a site would be.

It is there for the face of scenarios (options, verdict, report, exit status), for which a server
is enough, and one that can be made to stall.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from tests.loadtests.server import DisturbedServer, golden


@pytest.fixture(scope="session")
def deployment() -> Iterator[SimpleNamespace]:
    """One node, named ``here``."""
    server = DisturbedServer()
    yield SimpleNamespace(edges={"here": server}, golden=golden)
    server.down()


@pytest.fixture(autouse=True)
def _deployment_use() -> None:
    """Nothing to hold, and nothing that could be left broken."""
