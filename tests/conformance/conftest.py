"""What the negative tests stand on: children, and access to break the reference deployment."""

from __future__ import annotations

from pathlib import Path

import pytest
from kubernetes import client

from fixtures.profile import Profile
from fixtures.reference import apply, state
from fixtures.target import Deployment
from tests.conformance.child import Child


@pytest.fixture
def child(profile: Profile, tmp_path: Path) -> Child:
    """Runs a requirement's test in a pytest of its own."""
    return Child(profile.path, tmp_path)


@pytest.fixture
def core(deployment: Deployment) -> client.CoreV1Api:
    """The administrator's access, to break what a test may not."""
    if deployment.name != "reference":
        pytest.skip(f"{deployment.name} is not the suite's own deployment: it is not broken")
    return client.CoreV1Api(apply.api_client(state.kubeconfig_path()))
