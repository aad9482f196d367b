"""Each security requirement of the control plane fails where it takes strangers for friends."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
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
from tests.conformance.child import Child
from tests.conformance.lending_proxy import Lending
from tests.conformance.security_breakages import (
    LIFETIME_S,
    assert_each_failed,
    file_on,
    redirected,
    relay,
)

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


@dataclass(frozen=True, slots=True)
class _Relayed:
    """Whom a relay stands for, what is behind it, and what it lends: a certificate, or a token."""

    address: Address
    behind: Address
    lent: tuple[bytes, bytes] | None
    authorization: str = ""


@contextmanager
def _instead_of(edge: EdgeNode, relayed: _Relayed, port: int, folder: Path) -> Iterator[None]:
    """Put a relay between a node and a server."""
    server = self_signed(folder, "relay", "relay")
    place = f"{_FOLDER}-{port}"
    files = {
        "server.crt": server.certificate.read_bytes(),
        "server.key": server.key.read_bytes(),
        "lent.crt": relayed.lent[0] if relayed.lent else b"",
        "lent.key": relayed.lent[1] if relayed.lent else b"",
    }
    lending = Lending(
        listen="127.0.0.1",
        port=port,
        upstream=relayed.behind.host,
        upstream_port=relayed.behind.port,
        lifetime_s=LIFETIME_S,
        certificate=f"{place}/server.crt",
        key=f"{place}/server.key",
        upstream_certificate=f"{place}/lent.crt" if relayed.lent else "",
        upstream_key=f"{place}/lent.key" if relayed.lent else "",
        authorization=relayed.authorization,
    )
    with ExitStack() as there:
        for name, content in files.items():
            there.enter_context(file_on(edge, f"{place}/{name}", content))
        there.enter_context(relay(edge, lending))
        there.enter_context(redirected(edge, relayed.address, port))
        yield


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


def test_each_fails_where_a_proxy_or_a_rule_opens_the_door(
    child: Child, edge: EdgeNode, cluster: Cluster, tmp_path: Path
) -> None:
    """Relays on the node lend identities to whoever comes; rules give Secrets to whole groups."""
    agent = edgecore(edge)
    ((registry, _),) = registries(cluster, INFERENCE_SELECTOR)
    pki = state_root() / "reference" / "pki"
    pusher = ((pki / "image-pusher.crt").read_bytes(), (pki / "image-pusher.key").read_bytes())
    other = _joined_as("edge-conformance-sec-007", edge, agent, cluster)
    good = token(authority_key(cluster), int(time.time()) + 600)
    expected = {
        "SEC-002": ("without a certificate", "refuses a client"),
        "SEC-004": ("refuses a push", "HTTP 202"),
        "SEC-005": ("signs no certificate for no token", "HTTP 200"),
        "SEC-006": ("gave it away", "MetaServer"),
        "SEC-007": ("is not sent to", "CloudCore sent"),
        "SEC-008": ("reads no Secrets", "HTTP 200"),
    }
    with ExitStack() as broken:
        for group in ("system:nodes", "system:serviceaccounts"):
            for rule in _bound(f"edge-conformance-{group.partition(':')[2]}", group, ["secrets"]):
                broken.enter_context(created(cluster, rule))
        for port, relayed in (
            (PORT, _Relayed(agent.websocket, agent.websocket, other)),
            (PORT + 1, _Relayed(agent.https, agent.https, None, f"Bearer {good}")),
            (
                PORT + 2,
                _Relayed(registry, Address(registry.host, REGISTRY_PUSH_PORT), pusher),
            ),
        ):
            broken.enter_context(_instead_of(edge, relayed, port, tmp_path))
        run = child.run(",".join(expected))
    assert_each_failed(run, expected)
