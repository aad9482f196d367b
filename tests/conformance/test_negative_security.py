"""Each security requirement of what nodes open and hold fails where a device breaks it."""

from __future__ import annotations

import pytest
from kubernetes import client

from conformance.pods import INFERENCE_SELECTOR, inference_containers
from conformance.security.agent import edgecore
from conformance.workloads import created, probe_pod, wait_ready
from fixtures.paths import state_root
from fixtures.target import Cluster, Deployment, EdgeNode
from tests.conformance.child import Child
from tests.conformance.lending_proxy import Lending
from tests.conformance.security_breakages import (
    LIFETIME_S,
    device_in,
    file_on,
    listener,
    readable_by_all,
    relay,
)

pytestmark = pytest.mark.disturbs

PORT = 27_001
"""A port that nothing of the deployment uses."""


@pytest.fixture
def edge(deployment: Deployment, core: client.CoreV1Api) -> EdgeNode:
    """An edge node without an accelerator: nothing here is about one."""
    return next(edge for edge in deployment.edges.values() if edge.accelerator is None)


def _internal_address(core: client.CoreV1Api, edge: EdgeNode) -> str:
    status = core.read_node(edge.name).status
    assert status is not None
    return next(one.address for one in status.addresses or () if one.type == "InternalIP")


def test_sec_003_fails_where_the_agent_is_relayed_to_the_lan(child: Child, edge: EdgeNode) -> None:
    lending = Lending(edge.endpoint.host, 10350, "127.0.0.1", 10350, LIFETIME_S)
    with relay(edge, lending):
        child.run("SEC-003", node=edge.name).assert_failed("tells nothing", ":10350/pods")


def test_sec_009_fails_where_a_port_is_open_to_the_lan(child: Child, edge: EdgeNode) -> None:
    with listener(edge, edge.endpoint.host, PORT):
        child.run("SEC-009", node=edge.name).assert_failed("the site's LAN", str(PORT), "python3")


def test_sec_010_fails_where_a_port_is_open_to_the_cloud_side(
    child: Child, edge: EdgeNode, core: client.CoreV1Api
) -> None:
    with listener(edge, _internal_address(core, edge), PORT):
        child.run("SEC-010", node=edge.name).assert_failed("the cloud's side", str(PORT))


def test_sec_011_fails_where_model_control_is_open_and_not_claimed(
    child: Child, edge: EdgeNode
) -> None:
    run = child.run("SEC-011", node=edge.name, changes={"security.modelControl": "refused"})
    run.assert_failed("takes no model control", "was taken")


def test_sec_012_fails_where_a_pod_is_privileged(
    child: Child, edge: EdgeNode, cluster: Cluster
) -> None:
    key, _, value = INFERENCE_SELECTOR.partition("=")
    pod = probe_pod(
        cluster,
        "sec-012-privileged",
        node_selector={"kubernetes.io/hostname": edge.name},
        tolerated=edge.taints,
        labels={key: value},
    )
    assert pod.spec is not None
    pod.spec.host_pid = True
    pod.spec.containers[0].security_context = client.V1SecurityContext(privileged=True)
    with created(cluster, pod):
        wait_ready(cluster, cluster.namespace, "sec-012-privileged", 60.0)
        run = child.run("SEC-012", node=edge.name)
    run.assert_failed("sec-012-privileged", "'hostPID', 'privileged'")


def test_sec_013_fails_where_a_container_has_a_disk_of_the_host(
    child: Child, edge: EdgeNode, deployment: Deployment
) -> None:
    container = inference_containers(deployment, edge)[0]
    with device_in(edge, container.pid, "edge-disk0", ("b", "7", "99")):
        child.run("SEC-013", node=edge.name).assert_failed("edge-disk0", "its /dev")


def test_sec_014_fails_where_anybody_reads_the_agents_store(child: Child, edge: EdgeNode) -> None:
    with readable_by_all(edge, edgecore(edge).database):
        child.run("SEC-014", node=edge.name).assert_failed("only root", "edgecore.db")


def test_sec_014_fails_where_encryption_is_claimed_only(child: Child, edge: EdgeNode) -> None:
    run = child.run("SEC-014", node=edge.name, changes={"security.secretsAtRest": "encrypted"})
    run.assert_failed("are encrypted", "in plain", "edgecore.db")


def test_sec_015_fails_where_images_have_tags_only(
    child: Child, edge: EdgeNode, cluster: Cluster
) -> None:
    key, _, value = INFERENCE_SELECTOR.partition("=")
    pod = probe_pod(
        cluster,
        "sec-015-by-tag",
        node_selector={"kubernetes.io/hostname": edge.name},
        tolerated=edge.taints,
        labels={key: value},
    )
    with created(cluster, pod):
        wait_ready(cluster, cluster.namespace, "sec-015-by-tag", 60.0)
        run = child.run("SEC-015", node=edge.name, changes={"security.imagesByDigest": True})
    run.assert_failed("named by digest", cluster.probe_image)


def test_sec_017_fails_where_anybody_reads_the_nodes_key(child: Child, edge: EdgeNode) -> None:
    key = edgecore(edge).key
    with readable_by_all(edge, key):
        child.run("SEC-017", node=edge.name).assert_failed("only root", key)


def test_sec_018_fails_where_an_administrators_kubeconfig_was_left(
    child: Child, edge: EdgeNode, core: client.CoreV1Api
) -> None:
    left = "/root/.kube/config"
    with file_on(edge, left, (state_root() / "reference" / "admin.kubeconfig").read_bytes()):
        child.run("SEC-018", node=edge.name).assert_failed("system:masters", left)
