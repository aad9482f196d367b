"""Tests of one edge node run once for each node of the profile that they concern."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import pytest

from fixtures.profile import NodeProfile, Profile
from fixtures.target import Deployment, EdgeNode

_BINDING = frozenset({"NoSchedule", "NoExecute"})

# Which nodes of the profile each fixture stands for, and what a profile without any lacks.
_SELECTIONS: Mapping[str, tuple[Callable[[NodeProfile], bool], str]] = MappingProxyType(
    {
        "edge": (lambda node: True, "edge node"),
        "accelerator_edge": (
            lambda node: node.accelerator is not None,
            "edge node with an accelerator",
        ),
        "tainted_edge": (
            lambda node: any(taint.effect in _BINDING for taint in node.taints),
            "edge node with a taint that keeps pods away",
        ),
    }
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test per node, named after it; none at all is a skip that says so."""
    profile: Profile | None = getattr(metafunc.config, "edge_profile", None)
    if profile is None:
        return
    for fixture, (concerned, what) in _SELECTIONS.items():
        if fixture not in metafunc.fixturenames:
            continue
        names = [node.name for node in profile.nodes if concerned(node)]
        missing = pytest.param(
            "none", marks=pytest.mark.skip(reason=f"profile {profile.name} has no {what}")
        )
        metafunc.parametrize(fixture, names or [missing], ids=str, indirect=True)


@pytest.fixture
def edge(request: pytest.FixtureRequest, deployment: Deployment) -> EdgeNode:
    """Each edge node in turn."""
    return deployment.edges[request.param]


@pytest.fixture
def accelerator_edge(request: pytest.FixtureRequest, deployment: Deployment) -> EdgeNode:
    """Each edge node with an accelerator in turn."""
    return deployment.edges[request.param]


@pytest.fixture
def tainted_edge(request: pytest.FixtureRequest, deployment: Deployment) -> EdgeNode:
    """Each edge node with a taint that keeps pods away in turn."""
    return deployment.edges[request.param]
