"""Each security requirement of the control plane fails where it takes strangers for friends."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from kubernetes import client

from conformance.capabilities import first_edge
from conformance.pods import INFERENCE_SELECTOR
from conformance.security.agent import Address, EdgeCore, edgecore, from_node
from conformance.security.images import registries
from conformance.security.tls import Ask, ask, handshake, self_signed, stranger
from conformance.security.tokens import authority_key, token
from conformance.workloads import created
from fixtures.paths import state_root
from fixtures.reference import kubeconfig
from fixtures.reference.addresses import REGISTRY_PUSH_PORT
from fixtures.reference.certificates import Authority
from fixtures.target import Capability, Cluster, Deployment, EdgeNode
from fixtures.viewpoint import HereViewpoint
from tests.conformance import lending_proxy
from tests.conformance.breakages import on_node
from tests.conformance.child import Child
from tests.conformance.lending_proxy import Lending
from tests.conformance.security_breakages import LIFETIME_S, file_on, redirected, relay

pytestmark = pytest.mark.disturbs

PORT = 27_002
_FOLDER = "/run/edge-conformance-relay"


@pytest.fixture
def edge(deployment: Deployment, core: client.CoreV1Api) -> EdgeNode:
    """The node from which the requirements' tests look."""
    return first_edge(
        deployment, Capability.CONNECT, Capability.RUN_COMMAND, Capability.RESTART_AGENT
    )


@contextmanager
def _relay_here(lending: Lending) -> Iterator[Address]:
    """The relay on this machine."""
    process = subprocess.Popen(
        [sys.executable, str(lending_proxy.__file__), json.dumps(asdict(lending))],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "listening\n"
        yield Address(lending.listen, lending.port)
    finally:
        process.kill()
        process.communicate()


def _api_relay(cluster: Cluster, folder: Path, *, lent: bool, old_tls: bool) -> Lending:
    """A relay before the API server, by default on a certificate that ``folder`` vouches for."""
    settings = cluster.api_client.configuration
    server = Authority(folder).issue("relay", "relay", names=("127.0.0.1",))
    host, _, port = settings.host.removeprefix("https://").partition(":")
    return Lending(
        listen="127.0.0.1",
        port=PORT,
        upstream=host,
        upstream_port=int(port),
        lifetime_s=LIFETIME_S,
        certificate=str(server.certificate),
        key=str(server.key),
        upstream_certificate=str(settings.cert_file) if lent else "",
        upstream_key=str(settings.key_file) if lent else "",
        old_tls=old_tls,
    )


@contextmanager
def _kubeconfig_of(
    url: str, folder: Path, core: client.CoreV1Api, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Children find the API server at ``url``, by a copy of the deployment's state."""
    copy = folder / "state"
    shutil.copytree(state_root(), copy)
    access = Authority(folder / "access").issue("admin", "admin")
    kubeconfig.write(copy / "reference" / "admin.kubeconfig", url, folder / "ca.crt", access)
    with monkeypatch.context() as patched:
        patched.setenv("EDGE_CONFORMANCE_STATE", str(copy))
        yield


def test_sec_001_fails_where_a_proxy_lends_the_administrators_identity(
    child: Child,
    cluster: Cluster,
    core: client.CoreV1Api,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lending = _api_relay(cluster, tmp_path, lent=True, old_tls=False)
    with (
        _relay_here(lending) as where,
        _kubeconfig_of(f"https://{where}", tmp_path, core, monkeypatch),
    ):
        child.run("SEC-001").assert_failed("without credentials", "HTTP 200")


def test_old_tls_is_seen_where_it_is_spoken(cluster: Cluster, tmp_path: Path) -> None:
    """What SEC-016 looks for can be found: OpenSSL still speaks it when asked."""
    with _relay_here(_api_relay(cluster, tmp_path, lent=False, old_tls=True)) as where:
        here = HereViewpoint("here")
        context = stranger(version=ssl.TLSVersion.TLSv1_1)
        agreed = handshake(lambda: here.connect(where.host, where.port, 5.0), context)
    assert agreed == "TLSv1.1"


def test_sec_016_fails_where_a_newer_version_is_claimed_than_is_kept(child: Child) -> None:
    run = child.run("SEC-016", changes={"security.tlsMinimum": "1.3"})
    run.assert_failed("older than TLS 1.3", "agreed on TLSv1.2")


@contextmanager
def _instead_of(
    edge: EdgeNode,
    address: Address,
    folder: Path,
    lent: tuple[bytes, bytes] | None,
    authorization: str = "",
    upstream: Address | None = None,
) -> Iterator[None]:
    """Put a relay between a node and a server that lends a certificate, or a token."""
    behind = upstream or address
    server = self_signed(folder, "relay", "relay")
    certificate, key = lent or (b"", b"")
    names = {
        "server.crt": server.certificate.read_bytes(),
        "server.key": server.key.read_bytes(),
        "lent.crt": certificate,
        "lent.key": key,
    }
    lending = Lending(
        listen="127.0.0.1",
        port=PORT,
        upstream=behind.host,
        upstream_port=behind.port,
        lifetime_s=LIFETIME_S,
        certificate=f"{_FOLDER}/server.crt",
        key=f"{_FOLDER}/server.key",
        upstream_certificate=f"{_FOLDER}/lent.crt" if lent else "",
        upstream_key=f"{_FOLDER}/lent.key" if lent else "",
        authorization=authorization,
    )
    first, second, third, fourth = (
        file_on(edge, f"{_FOLDER}/{name}", content) for name, content in names.items()
    )
    with first, second, third, fourth, relay(edge, lending), redirected(edge, address, PORT):
        yield


def test_sec_004_fails_where_a_proxy_lends_the_right_to_push(
    child: Child, edge: EdgeNode, cluster: Cluster, tmp_path: Path
) -> None:
    ((registry, _),) = registries(cluster, INFERENCE_SELECTOR)
    pki = state_root() / "reference" / "pki"
    lent = tuple((pki / f"image-pusher.{part}").read_bytes() for part in ("crt", "key"))
    upstream = Address(registry.host, REGISTRY_PUSH_PORT)
    with _instead_of(edge, registry, tmp_path, (lent[0], lent[1]), upstream=upstream):
        child.run("SEC-004").assert_failed("refuses a push", "HTTP 202")


def _own_identity(edge: EdgeNode, agent: EdgeCore) -> tuple[bytes, bytes]:
    certificate, key = (on_node(edge, f"cat {path}") for path in (agent.certificate, agent.key))
    return certificate.encode(), key.encode()


def _joined_as(node: str, edge: EdgeNode, agent: EdgeCore, cluster: Cluster) -> tuple[bytes, bytes]:
    """Certificate and key of a node that has joined with a good token."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:nodes"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"system:node:{node}"),
        ]
    )
    request = x509.CertificateSigningRequestBuilder().subject_name(subject)
    bearer = token(authority_key(cluster), int(time.time()) + 600)
    answer = ask(
        from_node(edge, agent.https),
        stranger(),
        Ask(
            "/edge.crt",
            headers={"NodeName": node, "Authorization": f"Bearer {bearer}"},
            body=request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER),
        ),
    )
    assert answer.granted, f"CloudCore signed nothing for {node}: {answer}"
    certificate = x509.load_der_x509_certificate(answer.body)
    return (
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


def test_sec_002_fails_where_a_proxy_lends_a_nodes_identity(
    child: Child, edge: EdgeNode, tmp_path: Path
) -> None:
    agent = edgecore(edge)
    with _instead_of(edge, agent.websocket, tmp_path, _own_identity(edge, agent)):
        child.run("SEC-002").assert_failed("without a certificate", "refuses a client")


def test_sec_005_fails_where_a_proxy_adds_a_good_token(
    child: Child, edge: EdgeNode, cluster: Cluster, tmp_path: Path
) -> None:
    agent = edgecore(edge)
    good = token(authority_key(cluster), int(time.time()) + 600)
    with _instead_of(edge, agent.https, tmp_path, None, f"Bearer {good}"):
        child.run("SEC-005").assert_failed("signs no certificate for no token", "HTTP 200")


def _bound(name: str, group: str, resources: list[str]) -> tuple[object, object]:
    rules = [client.V1PolicyRule(api_groups=[""], resources=resources, verbs=["get", "list"])]
    role = client.V1ClusterRole(
        api_version="rbac.authorization.k8s.io/v1",
        kind="ClusterRole",
        metadata=client.V1ObjectMeta(name=name),
        rules=rules,
    )
    binding = client.V1ClusterRoleBinding(
        api_version="rbac.authorization.k8s.io/v1",
        kind="ClusterRoleBinding",
        metadata=client.V1ObjectMeta(name=name),
        role_ref=client.V1RoleRef(
            api_group="rbac.authorization.k8s.io", kind="ClusterRole", name=name
        ),
        subjects=[
            client.RbacV1Subject(api_group="rbac.authorization.k8s.io", kind="Group", name=group)
        ],
    )
    return role, binding


def test_sec_006_fails_where_nodes_may_read_every_secret(
    child: Child, edge: EdgeNode, cluster: Cluster
) -> None:
    role, binding = _bound("sec-006-nodes", "system:nodes", ["secrets"])
    with created(cluster, role), created(cluster, binding):
        child.run("SEC-006", node=edge.name).assert_failed("gave it away", "MetaServer")


def test_sec_007_fails_where_a_proxy_lends_the_other_nodes_identity(
    child: Child, edge: EdgeNode, cluster: Cluster, tmp_path: Path
) -> None:
    agent = edgecore(edge)
    other = _joined_as("edge-conformance-sec-007", edge, agent, cluster)
    with _instead_of(edge, agent.websocket, tmp_path, other):
        child.run("SEC-007").assert_failed("is not sent to", "CloudCore sent")


def test_sec_008_fails_where_service_accounts_may_read_secrets(
    child: Child, cluster: Cluster, core: client.CoreV1Api
) -> None:
    role, binding = _bound("sec-008-accounts", "system:serviceaccounts", ["secrets"])
    with created(cluster, role), created(cluster, binding):
        child.run("SEC-008").assert_failed("reads no Secrets", "HTTP 200")


def test_sec_019_fails_on_kubeedge_itself(child: Child, edge: EdgeNode) -> None:
    """KubeEdge 1.23.0 breaks it by itself: docs/findings/kubeedge-node-identity.md."""
    child.run("SEC-019").assert_failed("speaks for", "CloudCore signed")
