"""Each security requirement fails where a node opens, holds or claims what it must not.

Breakages that do not touch each other are in force together, and one child tests them all: each
test must fail for its own reason.
"""

from __future__ import annotations

from contextlib import ExitStack

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
    assert_each_failed,
    device_in,
    file_on,
    listener,
    readable_by_all,
    relay,
)

pytestmark = pytest.mark.disturbs

LAN_PORT = 27_001
CLOUD_PORT = 27_002
BAD_POD = "edge-conformance-bad-pod"
LEFT_FILE = "/root/.kube/config"


@pytest.fixture
def edge(deployment: Deployment, core: client.CoreV1Api) -> EdgeNode:
    """An edge node without an accelerator: nothing here is about one."""
    return next(edge for edge in deployment.edges.values() if edge.accelerator is None)


def _bad_pod(cluster: Cluster, edge: EdgeNode) -> client.V1Pod:
    """A pod that calls itself an inference server's: with the host's processes, and by its tag."""
    key, _, value = INFERENCE_SELECTOR.partition("=")
    pod = probe_pod(
        cluster,
        BAD_POD,
        node_selector={"kubernetes.io/hostname": edge.name},
        tolerated=edge.taints,
        labels={key: value},
    )
    assert pod.spec is not None
    pod.spec.host_pid = True
    # Privileged ones are refused by the reference deployment's API server.
    pod.spec.containers[0].security_context = client.V1SecurityContext(
        capabilities=client.V1Capabilities(add=["SYS_ADMIN"])
    )
    return pod


def _internal_address(core: client.CoreV1Api, edge: EdgeNode) -> str:
    status = core.read_node(edge.name).status
    assert status is not None
    return next(one.address for one in status.addresses or () if one.type == "InternalIP")


def test_each_fails_on_a_node_that_breaks_it(
    child: Child,
    edge: EdgeNode,
    deployment: Deployment,
    cluster: Cluster,
    core: client.CoreV1Api,
) -> None:
    agent = edgecore(edge)
    server = inference_containers(deployment, edge)[0]
    agent_port = 10350
    lan = edge.endpoint.host
    with ExitStack() as broken:
        for breakage in (
            relay(edge, Lending(lan, agent_port, "127.0.0.1", agent_port, LIFETIME_S)),
            listener(edge, lan, LAN_PORT),
            listener(edge, _internal_address(core, edge), CLOUD_PORT),
            created(cluster, _bad_pod(cluster, edge)),
            device_in(edge, server.pid, "edge-disk0", ("b", "7", "99")),
            readable_by_all(edge, agent.database),
            readable_by_all(edge, agent.key),
            file_on(
                edge, LEFT_FILE, (state_root() / "reference" / "admin.kubeconfig").read_bytes()
            ),
        ):
            broken.enter_context(breakage)
        wait_ready(cluster, cluster.namespace, BAD_POD, 60.0)
        expected = {
            "SEC-003": ("tells nothing", f"{lan}:{agent_port}/pods"),
            "SEC-009": ("the site's LAN", f"{LAN_PORT}", "python3"),
            "SEC-010": ("the cloud's side", f"{CLOUD_PORT}", "python3"),
            "SEC-012": (BAD_POD, "'addedCapabilities', 'hostPID'"),
            "SEC-013": ("edge-disk0", "its /dev"),
            "SEC-014": ("only root", "edgecore.db"),
            "SEC-015": ("named by digest", cluster.probe_image),
            "SEC-017": ("only root", agent.key),
            "SEC-018": ("system:masters", LEFT_FILE),
        }
        run = child.run(",".join(expected), node=edge.name)
    assert_each_failed(run, expected)


def test_each_fails_where_more_is_claimed_than_kept(child: Child, edge: EdgeNode) -> None:
    """And SEC-019 on KubeEdge 1.23.0 as it is: docs/findings/kubeedge-node-identity.md."""
    changes = {
        "security.modelControl": "refused",
        "security.secretsAtRest": "encrypted",
        "security.tlsMinimum": "1.3",
    }
    expected = {
        "SEC-011": ("takes no model control", "was taken"),
        "SEC-014": ("are encrypted", "in plain", "edgecore.db"),
        "SEC-016": ("older than TLS 1.3", "agreed on TLSv1.2"),
        "SEC-019": ("speaks for", "CloudCore signed"),
    }
    where = f"{edge.name} or old_tls or speaks_for_no_other"
    run = child.run(",".join(expected), node=where, changes=changes)
    assert_each_failed(run, expected)
