"""What the negative tests stand on: children, and access to break the reference deployment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes import client

from conformance.capabilities import first_edge
from conformance.inference import wait_for_right_answers
from conformance.pods import inference_pods
from fixtures.profile import Profile
from fixtures.reference import apply, state
from fixtures.target import (
    AcceleratorClaim,
    Capability,
    Cluster,
    Deployment,
    EdgeNode,
    wait_until,
)
from tests.conformance.child import Child

WHOLE_AGAIN_S = 180.0


@pytest.fixture
def child(profile: Profile, tmp_path: Path) -> Child:
    """Runs a requirement's test in a pytest of its own."""
    return Child(profile.path, tmp_path)


@pytest.fixture(scope="session")
def core(deployment: Deployment) -> client.CoreV1Api:
    """The administrator's access, to break what a test may not."""
    if deployment.name != "reference":
        pytest.skip(f"{deployment.name} is not the suite's own deployment: it is not broken")
    return client.CoreV1Api(apply.api_client(state.kubeconfig_path()))


@pytest.fixture(scope="session")
def last_accelerator_edge(deployment: Deployment, core: client.CoreV1Api) -> EdgeNode:
    """The node on which the slow placement tests run: the last one with an accelerator."""
    del core
    return deployment.edges_with(Capability.ACCELERATOR_HEALTH)[-1]


@pytest.fixture(scope="session")
def last_claim(last_accelerator_edge: EdgeNode) -> AcceleratorClaim:
    """Its accelerator."""
    assert last_accelerator_edge.accelerator is not None
    return last_accelerator_edge.accelerator


@pytest.fixture
def offline_edge(
    deployment: Deployment, cluster: Cluster, core: client.CoreV1Api
) -> Iterator[EdgeNode]:
    """The node that the autonomy tests choose; whole again before the next test begins."""
    node = first_edge(deployment, Capability.LINK, Capability.POWER)
    yield node
    wait_for_right_answers(deployment, node, WHOLE_AGAIN_S)
    wait_until(
        f"node {node.name} Ready again",
        lambda: cluster.node(node.name).ready,
        bool,
        WHOLE_AGAIN_S,
    )
    wait_until(
        f"the inference pods of {node.name} Ready again",
        lambda: inference_pods(cluster, node),
        lambda pods: len(pods) == 1 and pods[0].ready and not pods[0].terminating,
        WHOLE_AGAIN_S,
    )
