"""The node on which the slow placement tests run: one, and not each with an accelerator."""

from __future__ import annotations

import pytest

from fixtures.profile import Profile
from fixtures.target import Deployment, EdgeNode

_FIXTURE = "one_accelerator_edge"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The last one of the profile: the autonomy family disturbs the first."""
    profile: Profile | None = getattr(metafunc.config, "edge_profile", None)
    if profile is None or _FIXTURE not in metafunc.fixturenames:
        return
    names = [node.name for node in profile.nodes if node.accelerator is not None]
    missing = pytest.param(
        "none",
        marks=pytest.mark.skip(
            reason=f"profile {profile.name} has no edge node with an accelerator"
        ),
    )
    metafunc.parametrize(_FIXTURE, names[-1:] or [missing], ids=str, indirect=True)


@pytest.fixture
def one_accelerator_edge(request: pytest.FixtureRequest, deployment: Deployment) -> EdgeNode:
    """One edge node with an accelerator."""
    return deployment.edges[request.param]
