"""The node on which the slow placement tests run: one, and not each that they concern."""

from __future__ import annotations

import pytest

from fixtures.profile import Profile
from fixtures.target import Deployment, EdgeNode


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The last node of the profile with an accelerator: the autonomy family disturbs the first.

    What needs no accelerator runs on the last node where there is none at all.
    """
    profile: Profile | None = getattr(metafunc.config, "edge_profile", None)
    if profile is None:
        return
    names = [node.name for node in profile.nodes if node.accelerator is not None][-1:]
    if "one_accelerator_edge" in metafunc.fixturenames:
        reason = f"profile {profile.name} has no edge node with an accelerator"
        missing = pytest.param("none", marks=pytest.mark.skip(reason=reason))
        metafunc.parametrize("one_accelerator_edge", names or [missing], ids=str, indirect=True)
    if "one_edge" in metafunc.fixturenames:
        metafunc.parametrize("one_edge", names or [profile.nodes[-1].name], ids=str, indirect=True)


@pytest.fixture
def one_accelerator_edge(request: pytest.FixtureRequest, deployment: Deployment) -> EdgeNode:
    """One edge node with an accelerator."""
    return deployment.edges[request.param]


@pytest.fixture
def one_edge(request: pytest.FixtureRequest, deployment: Deployment) -> EdgeNode:
    """One edge node, with an accelerator if the profile has such nodes."""
    return deployment.edges[request.param]
