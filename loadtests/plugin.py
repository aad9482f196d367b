"""The pytest side of loads: the ``load`` fixture."""

from __future__ import annotations

import pytest

from fixtures.profile import Profile
from fixtures.target import Deployment, Evidence
from loadtests.run import Loads


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
