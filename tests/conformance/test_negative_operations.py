"""Each requirement on a server's operations fails where an operation hurts."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes import client

from conformance.serving.lanes import LANE
from fixtures.profile import Operations, Profile
from fixtures.target import Deployment, EdgeNode
from tests.conformance.background import Background
from tests.conformance.child import Child

pytestmark = pytest.mark.disturbs
# Enough for a copy to start on a busy node; a frozen one is awaited no longer than this.
SHORT = {"operations.coldStartPresent_s": 20}
SOON_S = 0.1


@pytest.fixture
def edge(deployment: Deployment, core: client.CoreV1Api) -> EdgeNode:
    """The node that the copies run on: the first without an accelerator."""
    del core
    return next(one for one in deployment.edges.values() if one.accelerator is None)


@pytest.fixture
def operations(profile: Profile) -> Operations:
    assert profile.operations is not None
    return profile.operations


def _pods(core: client.CoreV1Api, selector: str) -> list[Any]:
    found: Any = core.list_pod_for_all_namespaces(label_selector=selector, _request_timeout=10)
    return list(found.items)


def test_srv_030_fails_where_the_other_replica_is_not_spared(
    child: Child, core: client.CoreV1Api, edge: EdgeNode
) -> None:
    def as_soon_as_the_first_lane_ends() -> bool:
        if not any(one.metadata.deletion_timestamp for one in _pods(core, f"{LANE}=a")):
            return False
        for one in _pods(core, f"{LANE}=b"):
            core.delete_namespaced_pod(one.metadata.name, one.metadata.namespace)
        return True

    with Background(as_soon_as_the_first_lane_ends, SOON_S) as breakage:
        run = child.run("SRV-030")
    assert breakage.done, run.output
    run.assert_failed("during a rolling update", "requests failed")
