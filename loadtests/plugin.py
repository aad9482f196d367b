"""The pytest side of loads: the ``load`` fixture, and scenarios by name."""

from __future__ import annotations

import pytest

from fixtures.profile import Profile
from fixtures.target import Deployment, Evidence
from loadtests import choice
from loadtests.run import Loads


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of scenarios."""
    choice.add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Refuse options that cannot be, before anything is started."""
    config.addinivalue_line("markers", f"{choice.MARKER}: run only by --scenario")
    choice.chosen(config)
    choice.duration_s(config)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each scenario that was asked for."""
    if "scenario" in metafunc.fixturenames:
        scenarios = choice.chosen(metafunc.config)
        metafunc.parametrize("scenario", scenarios, ids=[one.name for one in scenarios])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With ``--scenario`` only scenarios are run, and without it none."""
    wanted = config.getoption("--scenario") is not None
    kept = [one for one in items if (one.get_closest_marker(choice.MARKER) is not None) == wanted]
    if len(kept) < len(items):
        config.hook.pytest_deselected(items=[one for one in items if one not in kept])
        items[:] = kept


@pytest.fixture
def load(
    request: pytest.FixtureRequest, profile: Profile, deployment: Deployment, evidence: Evidence
) -> Loads:
    """Starts loads from the site's side; see ``Loads.start``."""
    marker = request.node.get_closest_marker("requirement")
    return Loads(
        evidence,
        deployment.golden,
        default_slo_ms=profile.thresholds.latency_slo_ms,
        requirement=None if marker is None else str(marker.kwargs["id"]),
    )
