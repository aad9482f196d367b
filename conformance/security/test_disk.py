"""Security: what lies on the disk of an edge node, and who gets to read it."""

from __future__ import annotations

import base64
import posixpath
import secrets

import pytest
from kubernetes import client

from conformance.capabilities import require
from conformance.catalogue import requirement
from conformance.explain import explain
from conformance.security.agent import edgecore
from conformance.security.claims import claimed
from conformance.security.credentials import credentials_on
from conformance.security.disk import AGENT_FOLDERS, files, holding
from conformance.workloads import created, probe_pod, wait_ready
from fixtures.profile import Profile
from fixtures.target import Capability, Cluster, EdgeNode, Evidence

READY_S = 60.0
# Keys, and whatever names itself a token and is long enough to be one.
_CREDENTIALS = (
    "BEGIN ([A-Z]+ )*PRIVATE KEY",
    "client-key-data:",
    "token: *[\"']?[A-Za-z0-9_.-]{40}",
)


def _pod_with_secret(cluster: Cluster, edge: EdgeNode, namespace: str, secret: str) -> client.V1Pod:
    """A pod on the node that has the Secret as a volume and in its environment."""
    pod = probe_pod(
        cluster,
        "sec-014",
        namespace=namespace,
        node_selector={"kubernetes.io/hostname": cluster.node(edge.name).labels[_HOSTNAME]},
        tolerated=edge.taints,
    )
    if pod.spec is None:
        raise AssertionError("a probe pod has a spec")
    pod.spec.volumes = [
        client.V1Volume(name="secret", secret=client.V1SecretVolumeSource(secret_name=secret))
    ]
    container = pod.spec.containers[0]
    container.volume_mounts = [client.V1VolumeMount(name="secret", mount_path="/secret")]
    container.env_from = [client.V1EnvFromSource(secret_ref=client.V1SecretEnvSource(name=secret))]
    return pod


_HOSTNAME = "kubernetes.io/hostname"


@requirement(
    id="SEC-014",
    level="MUST",
    family="security",
    since="0.2",
    sentence="A Secret of a pod MUST lie on the disk of an edge node only as the profile claims "
    "(plain or encrypted), and never where anybody but root can read it.",
    why="Edge devices are stolen, and serviced by people who need no Secrets.",
    source="Kubernetes documentation: Good practices for Kubernetes Secrets; NIST SP 800-190 (3.4)",
)
@pytest.mark.needs(Capability.RUN_COMMAND, Capability.RESTART_AGENT)
def test_secrets_lie_on_disk_as_claimed(
    edge: EdgeNode, cluster: Cluster, profile: Profile, namespace: str, evidence: Evidence
) -> None:
    """Give a pod a Secret with a random text, and look for the text on the node."""
    require(edge, Capability.RUN_COMMAND, Capability.RESTART_AGENT)
    claim = claimed(profile).secrets_at_rest
    agent = edgecore(edge)
    marker = secrets.token_hex(16)
    secret = client.V1Secret(
        api_version="v1",
        kind="Secret",
        metadata=client.V1ObjectMeta(name="sec-014", namespace=namespace),
        string_data={"MARKER": marker},
    )
    folders = [*AGENT_FOLDERS, posixpath.dirname(agent.database)]
    encoded = base64.b64encode(marker.encode()).decode()
    with (
        created(cluster, secret),
        created(cluster, _pod_with_secret(cluster, edge, namespace, "sec-014")),
    ):
        wait_ready(cluster, namespace, "sec-014", READY_S)
        found = files(edge, holding(edge, [marker, encoded], folders))
    evidence.value(f"{edge.name} files with the Secret", [str(one) for one in found])
    assert found, (
        f"{edge.name}: the Secret of a running pod was found nowhere below {folders}, not even in "
        "the pod's volume: the search shows nothing"
    )
    on_disk = [one for one in found if not one.in_memory]
    exposed = [str(one) for one in found if one.readable_by_others or not one.owned_by_root]
    assert not exposed, explain(
        promised=f"only root of {edge.name} reads the Secrets of its pods",
        seen=f"anybody on the node may read: {', '.join(exposed)}",
        since="the pod with the Secret became Ready",
        look="mode and owner of these files and of the folders above them",
    )
    assert claim == "plain" or not on_disk, explain(
        promised=f"Secrets on the disk of {edge.name} are encrypted (secretsAtRest: encrypted)",
        seen=f"the Secret lies in plain in {', '.join(str(one) for one in on_disk)}",
        since="the pod with the Secret became Ready",
        look="whether the agent's database, or the disk as a whole, is encrypted",
    )


@requirement(
    id="SEC-017",
    level="MUST",
    family="security",
    since="0.2",
    sentence="Private keys, tokens and kubeconfigs of an edge node's agent MUST be readable by "
    "root alone.",
    why="Whoever reads them is the node.",
    source="CIS Kubernetes Benchmark 4.1.3 to 4.1.9",
)
@pytest.mark.needs(Capability.RUN_COMMAND, Capability.RESTART_AGENT)
def test_credentials_are_private(edge: EdgeNode, evidence: Evidence) -> None:
    """Find what looks like a credential, and whom the file system lets read it."""
    require(edge, Capability.RUN_COMMAND, Capability.RESTART_AGENT)
    agent = edgecore(edge)
    paths = {agent.key, agent.config, agent.database}
    paths |= set(holding(edge, _CREDENTIALS, [*AGENT_FOLDERS, posixpath.dirname(agent.config)]))
    found = files(edge, sorted(paths))
    evidence.value(f"{edge.name} files with credentials", [str(one) for one in found])
    assert any(one.path == agent.key for one in found), (
        f"{edge.name}: EdgeCore's key {agent.key} is not there, so the right place was not found"
    )
    exposed = [str(one) for one in found if one.readable_by_others or not one.owned_by_root]
    assert not exposed, explain(
        promised=f"only root of {edge.name} reads the credentials of its agent",
        seen=f"anybody on the node may read: {', '.join(exposed)}",
        since="the test's look at the node's disk; nothing was changed",
        look="mode and owner of these files and of the folders above them",
    )


@requirement(
    id="SEC-018",
    level="MUST",
    family="security",
    since="0.2",
    sentence="An edge node MUST NOT hold a credential of a cluster administrator.",
    why="One stolen device would otherwise be the end of the whole cluster.",
    source="Kubernetes documentation: PKI certificates and requirements (admin.conf); CIS "
    "Kubernetes Benchmark 5.1.1",
)
@pytest.mark.needs(Capability.RUN_COMMAND, Capability.RESTART_AGENT)
def test_no_administrator_on_the_node(edge: EdgeNode, evidence: Evidence) -> None:
    """Find kubeconfigs and certificates on the node's disk, and read whose they are."""
    require(edge, Capability.RUN_COMMAND, Capability.RESTART_AGENT)
    agent = edgecore(edge)
    found = credentials_on(edge, [posixpath.dirname(agent.config)])
    evidence.value(
        f"{edge.name} certificates", [f"{one.where} ({', '.join(one.groups)})" for one in found]
    )
    assert any(one.where == agent.certificate for one in found), (
        f"{edge.name}: the node's own certificate {agent.certificate} was not found, so the "
        "search shows nothing"
    )
    administrators = [one.where for one in found if one.is_administrator]
    assert not administrators, explain(
        promised=f"{edge.name} holds no credential of a cluster administrator",
        seen=f"of the group system:masters: {', '.join(administrators)}",
        since="the test's look at the node's disk; nothing was changed",
        look="who copied it there; remove it and revoke it (a new cluster authority)",
    )
