"""Each requirement that looks at the offline episode fails where its promise is broken.

Two children play the episode: one with a cloud that carries nothing through, and one with a node
whose agent dies with the link. Each test looks at what its requirement said in one of them.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from kubernetes import client

from conformance.autonomy.once import Once
from conformance.pods import INFERENCE_SELECTOR
from conformance.workloads import created, probe_pod
from fixtures.target import Cluster, EdgeNode
from tests.conformance.background import Background
from tests.conformance.child import Child, ChildRun
from tests.conformance.episode_breakages import CloudBreakage, DeadAgent, Stage

pytestmark = pytest.mark.disturbs
SHORT = {
    "autonomy.offline_s": 8,
    "autonomy.cloudNotices_s": 8,
    "autonomy.changesAfterHeal_s": 12,
    "thresholds.containerRestart_s": 5,
}
OF_THE_CLOUD = "AUT-007,AUT-012,AUT-013,AUT-014,AUT-015,AUT-016,AUT-017,AUT-018"
OF_THE_NODE = "AUT-006,AUT-009,AUT-010,AUT-020,AUT-021"


@pytest.fixture(scope="module")
def cloud_run() -> Once[ChildRun]:
    """Keeps the run under a broken cloud."""
    return Once()


@pytest.fixture(scope="module")
def node_run() -> Once[ChildRun]:
    """Keeps the run with a dead agent."""
    return Once()


@pytest.fixture
def broken_cloud(
    cloud_run: Once[ChildRun], child: Child, core: client.CoreV1Api, offline_edge: EdgeNode
) -> ChildRun:
    """What the requirements said of a cloud that carries nothing through."""

    def play() -> ChildRun:
        breakage = CloudBreakage(Stage(core, offline_edge))
        return _played(child, OF_THE_CLOUD, breakage.step, breakage.let_go)

    return cloud_run.get(play)


@pytest.fixture
def dead_agent(
    node_run: Once[ChildRun], child: Child, core: client.CoreV1Api, offline_edge: EdgeNode
) -> ChildRun:
    """What the requirements said of a node whose agent died with the link."""

    def play() -> ChildRun:
        breakage = DeadAgent(Stage(core, offline_edge))
        return _played(child, OF_THE_NODE, breakage.step, breakage.let_go)

    return node_run.get(play)


def _played(
    child: Child, requirements: str, step: Callable[[], bool], let_go: Callable[[], None]
) -> ChildRun:
    with Background(step) as breakage:
        try:
            run = child.run(requirements, changes=SHORT, timeout_s=420.0)
        finally:
            if not breakage.done:
                let_go()
    assert breakage.done, run.output
    return run


def test_aut_006_fails_where_nobody_looks_at_liveness(dead_agent: ChildRun) -> None:
    dead_agent.of("test_failed_liveness_probe_restarts_offline").assert_failed(
        "after its liveness probe fails, without the cloud"
    )


def test_aut_007_fails_where_the_cloud_is_told_something_else(broken_cloud: ChildRun) -> None:
    broken_cloud.of("test_readiness_is_the_truth_after_the_cut").assert_failed(
        "became unready meanwhile", "container ready is True"
    )


def test_aut_009_fails_where_nothing_answers_on_the_node(dead_agent: ChildRun) -> None:
    dead_agent.of("test_local_api_answers_reads_offline").assert_failed(
        "knows the node's pods offline", "no answer"
    )


def test_aut_010_fails_where_nobody_starts_the_container(dead_agent: ChildRun) -> None:
    dead_agent.of("test_cached_image_suffices_offline").assert_failed(
        "from the image it has", "no container runs"
    )


def test_aut_011_fails_where_images_are_always_pulled(
    child: Child, cluster: Cluster, offline_edge: EdgeNode
) -> None:
    key, _, value = INFERENCE_SELECTOR.partition("=")
    # On no node: it is never to run beside the real server.
    pod = probe_pod(
        cluster, "aut-011", labels={key: value}, node_selector={"edge.example/none": "none"}
    )
    assert pod.spec is not None
    pod.spec.containers[0].image_pull_policy = "Always"
    with created(cluster, pod):
        run = child.run("AUT-011")
    run.assert_failed("without the registry", "aut-011/probe")


def test_aut_012_fails_where_the_node_ends_a_doomed_pod(broken_cloud: ChildRun) -> None:
    broken_cloud.of("test_nothing_is_evicted_at_the_edge").assert_failed(
        "whatever the cloud believes", "that the cloud has marked for deletion"
    )


def test_aut_013_fails_where_a_rollout_does_not_arrive(broken_cloud: ChildRun) -> None:
    broken_cloud.of("test_rollout_of_meanwhile_arrives").assert_failed(
        "the last generation of a Deployment runs", "on the node generations 1"
    )


def test_aut_014_fails_where_no_replica_is_added(broken_cloud: ChildRun) -> None:
    broken_cloud.of("test_scaling_of_meanwhile_arrives").assert_failed(
        "a Deployment that was scaled up has two pods", "grown: 1 pods in the cloud"
    )


def test_aut_015_fails_where_a_deleted_pod_stays(broken_cloud: ChildRun) -> None:
    broken_cloud.of("test_deletions_of_meanwhile_arrive").assert_failed(
        "what was deleted meanwhile is gone", "removed: 1 pods", "doomed: 1 pods"
    )


def test_aut_016_fails_where_the_last_settings_do_not_arrive(broken_cloud: ChildRun) -> None:
    broken_cloud.of("test_settings_of_meanwhile_arrive").assert_failed(
        "reads the last state of its ConfigMap", "settings: first"
    )


def test_aut_017_fails_where_restarts_are_not_told(broken_cloud: ChildRun) -> None:
    broken_cloud.of("test_status_catches_up").assert_failed(
        "tells what happened to it offline", "cached: ", "0 restarts"
    )


def test_aut_018_fails_where_ready_flaps(broken_cloud: ChildRun) -> None:
    broken_cloud.of("test_node_does_not_flap_after_the_cut").assert_failed(
        "becomes Ready once, and stays so", "Ready is False"
    )


def test_aut_020_fails_where_nothing_is_started_again(dead_agent: ChildRun) -> None:
    dead_agent.of("test_crash_loop_backs_off_offline").assert_failed(
        "starts a crashing container after pauses that grow", "0 starts after crashes"
    )


def test_aut_021_fails_where_nobody_watches_the_disk(dead_agent: ChildRun) -> None:
    dead_agent.of("test_disk_hog_is_stopped_offline").assert_failed(
        "stops a container that writes more than its limit", "it runs"
    )
