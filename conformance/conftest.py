"""Tests of one edge node run once for each node of the profile that they concern."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

import pytest
from kubernetes import client

from conformance.footprint.idle import IdleWindows
from conformance.workloads import created, service_accounts
from fixtures.profile import NodeProfile, Profile
from fixtures.target import Cluster, Deployment, EdgeNode, wait_until

DEFAULT_ACCOUNT_TIMEOUT_S = 30.0
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


@pytest.fixture
def namespace(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[str]:
    """A namespace of the test's own: its name; it goes at the end, with all that is in it."""
    words = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower().removeprefix("test_")).strip("-")
    name = f"ec-{words[:40].strip('-')}-{uuid.uuid4().hex[:6]}"
    wanted = client.V1Namespace(
        api_version="v1", kind="Namespace", metadata=client.V1ObjectMeta(name=name)
    )
    with created(cluster, wanted):
        # Nothing can be placed before it: the controller manager makes it a moment later.
        wait_until(
            f"service account default of namespace {name}",
            lambda: service_accounts(cluster, name),
            lambda seen: "default" in seen,
            DEFAULT_ACCOUNT_TIMEOUT_S,
        )
        yield name


@pytest.fixture(scope="session")
def idle_windows() -> IdleWindows:
    """What idle nodes use: measured in one window by the first test that asks for it."""
    return IdleWindows()
