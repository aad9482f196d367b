"""Each autonomy requirement fails on a deployment that breaks it."""

from __future__ import annotations

import pytest
from kubernetes import client

from conformance.pods import inference_containers, inference_pods
from fixtures.target import Cluster, Deployment, EdgeNode
from tests.conformance.background import Background
from tests.conformance.breakages import agent_down, forgetful_agent, thawed_at_end
from tests.conformance.child import Child

pytestmark = pytest.mark.disturbs


@pytest.fixture
def edge(offline_edge: EdgeNode) -> EdgeNode:
    """The node that the autonomy tests choose."""
    return offline_edge


def test_aut_001_fails_where_the_server_needs_the_cloud(
    child: Child, deployment: Deployment, edge: EdgeNode
) -> None:
    server = inference_containers(deployment, edge)[0]
    with thawed_at_end(edge, server) as freeze:

        def as_soon_as_the_link_is_cut() -> bool:
            if not edge.link.is_cut():
                return False
            freeze()
            return True

        with Background(as_soon_as_the_link_is_cut) as breakage:
            run = child.run("AUT-001")
    assert breakage.done, run.output
    run.assert_failed("goes on answering while its cloud link is cut", "requests failed")


def test_aut_002_fails_where_nothing_restarts_the_container(child: Child, edge: EdgeNode) -> None:
    with agent_down(edge):
        run = child.run("AUT-002", changes={"thresholds.containerRestart_s": 5})
    run.assert_failed("restarts a killed container offline")


def test_aut_003_fails_where_the_agent_takes_its_pods_along(
    child: Child, deployment: Deployment, edge: EdgeNode
) -> None:
    server = inference_containers(deployment, edge)[0]
    first = edge.agent_pid()

    def as_soon_as_another_agent_runs() -> bool:
        if edge.agent_pid() in {None, first}:
            return False
        edge.kill_container(server)
        return True

    with Background(as_soon_as_another_agent_runs) as breakage:
        run = child.run("AUT-003")
    assert breakage.done, run.output
    run.assert_failed("run on while its agent is killed and restarts", server.pod_name)


def test_aut_004_fails_where_the_agent_forgets_its_pods(child: Child, edge: EdgeNode) -> None:
    with forgetful_agent(edge):
        run = child.run("AUT-004", changes={"thresholds.powerRecovery_s": 10})
    run.assert_failed("after its power is back, without the cloud")


def test_aut_005_fails_where_the_cloud_replaces_the_pod(
    child: Child, cluster: Cluster, core: client.CoreV1Api, edge: EdgeNode
) -> None:
    (victim,) = inference_pods(cluster, edge)

    def as_soon_as_the_link_is_cut() -> bool:
        if not edge.link.is_cut():
            return False
        core.delete_namespaced_pod(victim.name, victim.namespace)
        return True

    with Background(as_soon_as_the_link_is_cut) as breakage:
        run = child.run("AUT-005", timeout_s=420.0)
    assert breakage.done, run.output
    run.assert_failed("are the same as before the cut", victim.name)
