"""Security: a node is nobody but itself, and reads no more than its pods need."""

from __future__ import annotations

import base64
import secrets
import socket
import time
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from kubernetes import client

from conformance.capabilities import first_edge, require
from conformance.catalogue import requirement
from conformance.explain import explain
from conformance.observe import observe_until
from conformance.pods import INFERENCE_SELECTOR, inference_pods
from conformance.security.agent import EdgeCore, edgecore, from_node, node_certificate
from conformance.security.ghost import PROBE_CONDITION, ghost, has_condition, pod_on
from conformance.security.hub import Message, session_as
from conformance.security.images import pods_of
from conformance.security.tls import (
    Answer,
    Ask,
    ClientCertificate,
    Connect,
    ask,
    signing_request,
    stranger,
)
from conformance.workloads import REQUEST_TIMEOUT_S, created
from fixtures.target import Capability, Cluster, Deployment, EdgeNode, Evidence

CONNECT_TIMEOUT_S = 5.0
LISTENS_S = 8.0
EFFECT_S = 5.0
_MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}


def _api(cluster: Cluster) -> Connect:
    url = urlsplit(cluster.api_client.configuration.host)
    where = (url.hostname or "", url.port or 443)
    return partial(socket.create_connection, where, CONNECT_TIMEOUT_S)


def _secret(name: str, namespace: str, marker: str) -> client.V1Secret:
    return client.V1Secret(
        api_version="v1",
        kind="Secret",
        metadata=client.V1ObjectMeta(name=name, namespace=namespace),
        string_data={"marker": marker},
    )


@requirement(
    id="SEC-006",
    level="MUST",
    family="security",
    since="0.2",
    sentence="An edge node MUST NOT be able to read a Secret that no pod of it uses, neither with "
    "its certificate nor through the API that its agent offers on the node.",
    why="A stolen device, or one pod on the node's network, must not give away the Secrets of the "
    "other sites.",
    source="Kubernetes documentation: Using Node Authorization; KubeEdge documentation: CloudHub "
    "authorization",
)
@pytest.mark.needs(Capability.CONNECT, Capability.RUN_COMMAND, Capability.RESTART_AGENT)
def test_node_reads_no_foreign_secret(
    edge: EdgeNode, cluster: Cluster, namespace: str, evidence: Evidence, tmp_path: Path
) -> None:
    """Make a Secret that nobody uses, and ask for it as everything that the node can be."""
    require(edge, Capability.CONNECT, Capability.RUN_COMMAND, Capability.RESTART_AGENT)
    agent = edgecore(edge)
    own = node_certificate(edge, agent, tmp_path)
    marker = secrets.token_hex(16)
    encoded = base64.b64encode(marker.encode()).decode()
    meta_server = from_node(edge, agent.meta_server)
    # The node's own pod it may read: so the way is open, and what follows is a refusal.
    pods = inference_pods(cluster, edge)
    assert pods, f"{edge.name} runs no pod of the inference server"
    mine = f"/api/v1/namespaces/{pods[0].namespace}/pods/{pods[0].name}"
    known = ask(meta_server, None, Ask(mine))
    evidence.value(f"{edge.name} MetaServer, its own pod", str(known))
    one = f"/api/v1/namespaces/{namespace}/secrets/foreign"
    every = f"/api/v1/namespaces/{namespace}/secrets"
    with created(cluster, _secret("foreign", namespace, marker)):
        for what, connect, context in (
            ("MetaServer on the node", meta_server, None),
            ("API server with the node's certificate", _api(cluster), stranger(own)),
        ):
            for path in (one, every):
                answer = ask(connect, context, Ask(path))
                got = encoded.encode() in answer.body or marker.encode() in answer.body
                evidence.value(f"{edge.name} {what}: {path}", str(answer))
                assert not got, explain(
                    promised=f"{edge.name} cannot read the Secret {namespace}/foreign, which no "
                    "pod of it uses",
                    seen=f"{what}: GET {path} gave it away (HTTP {answer.status})",
                    since="the Secret was made for this test",
                    look="CloudCore's `modules.cloudHub.authorization` (enable: true, debug: "
                    "false), and what is bound to the group system:nodes",
                )
    assert known.granted, explain(
        promised=f"the MetaServer of {edge.name} answers for the node's own pod",
        seen=f"{known}: {known.body[:200]!r}; so the refusals above prove nothing",
        since="the test's first request",
        look=f"{agent.config}: modules.metaManager.metaServer",
    )


@requirement(
    id="SEC-007",
    level="MUST",
    family="security",
    since="0.2",
    sentence="The certificate of an edge node MUST NOT open the session of another node, nor "
    "change another node's objects.",
    why="Otherwise one stolen device receives the pods and Secrets of every site, and can switch "
    "all of them off.",
    source="Kubernetes documentation: NodeRestriction; KubeEdge documentation: CloudHub "
    "authorization",
)
@pytest.mark.needs(Capability.CONNECT, Capability.RUN_COMMAND, Capability.RESTART_AGENT)
def test_node_opens_no_session_of_another(
    deployment: Deployment, namespace: str, evidence: Evidence, tmp_path: Path
) -> None:
    """Be another node with one's own certificate, and wait for what is meant for that other."""
    edge, agent, own = _identity(deployment, tmp_path)
    cluster = deployment.cluster
    marker = secrets.token_hex(16)
    context = stranger(own)
    _assert_reachable(edge, agent, own)
    connect = from_node(edge, agent.websocket)
    with (
        ghost(cluster, "edge-conformance-sec-007") as other,
        session_as(connect, context, agent.websocket, other) as session,
    ):
        received: list[str] = []
        if session is not None:
            with pod_on(cluster, other, namespace, marker):
                deadline = time.monotonic() + LISTENS_S
                while (left := deadline - time.monotonic()) > 0:
                    message = session.receive(left)
                    if message is None:
                        break
                    received.append(message)
        evidence.value(f"{edge.name} messages received as {other}", len(received))
        _assert_reachable(edge, agent, own)
        # One unconfirmed message holds up all that follow: the first may be all that comes.
        told = any(other in message or marker in message for message in received)
        assert not told, explain(
            promised=f"what is meant for node {other} is not sent to whoever holds the "
            f"certificate of {edge.name}",
            seen=f"CloudCore sent {len(received)} messages that are meant for {other}",
            since=f"a session was opened with node_id {other}; its pod was made after that",
            look="CloudCore's `modules.cloudHub.authorization` (enable: true, debug: false)",
        )
        patch = Ask(
            f"/api/v1/nodes/{other}",
            "PATCH",
            _MERGE_PATCH,
            b'{"metadata": {"annotations": {"edge-conformance/probe": "1"}}}',
        )
        for what, way, tls in (
            ("MetaServer on the node", from_node(edge, agent.meta_server), None),
            ("API server with the node's certificate", _api(cluster), context),
        ):
            answer = ask(way, tls, patch)
            evidence.value(f"{edge.name} {what}: patch of {other}", str(answer))
        node = client.CoreV1Api(cluster.api_client).read_node(
            other, _request_timeout=REQUEST_TIMEOUT_S
        )
        annotations = (node.metadata.annotations if node.metadata else None) or {}
        assert "edge-conformance/probe" not in annotations, explain(
            promised=f"{edge.name} changes no node but itself",
            seen=f"node {other} carries the annotation that {edge.name} asked for",
            since="the requests to its MetaServer and to the API server",
            look="CloudCore's `modules.cloudHub.authorization`, and NodeRestriction among the "
            "admission plugins of the API server",
        )


@requirement(
    id="SEC-008",
    level="MUST",
    family="security",
    since="0.2",
    sentence="The service accounts of inference pods, and the default one of a namespace, MUST NOT "
    "be able to read Secrets.",
    why="A hole in a model's code must not become a hole in the cluster.",
    source="CIS Kubernetes Benchmark 5.1.2 and 5.1.5; OWASP Kubernetes Top Ten K03",
)
def test_service_accounts_read_no_secrets(
    cluster: Cluster, namespace: str, evidence: Evidence
) -> None:
    """Get a token of each, and ask the API server with it."""
    marker = secrets.token_hex(16)
    accounts = {
        ((pod.spec.service_account_name if pod.spec else None) or "default", cluster.namespace)
        for pod in pods_of(cluster, INFERENCE_SELECTOR)
    }
    accounts.add(("default", namespace))
    with created(cluster, _secret("foreign", namespace, marker)):
        for account, home in sorted(accounts):
            bearer = {"Authorization": f"Bearer {_account_token(cluster, account, home)}"}
            # Who am I: an account that the API server knows, so what follows is a refusal.
            itself = _review(cluster, bearer)
            evidence.value(f"{home}/{account} is", itself)
            assert itself.endswith(f":{home}:{account}"), (
                f"the token of {home}/{account} is one of {itself!r}, so nothing is shown"
            )
            for path in (f"/api/v1/namespaces/{namespace}/secrets/foreign", "/api/v1/secrets"):
                answer = ask(_api(cluster), stranger(), Ask(path, headers=bearer))
                evidence.value(f"{home}/{account}: {path}", str(answer))
                assert answer.status in (401, 403), explain(
                    promised=f"service account {home}/{account} reads no Secrets",
                    seen=f"GET {path} gave {answer}",
                    since="a token of it was asked for by this test",
                    look=f"kubectl auth can-i get secrets -A "
                    f"--as=system:serviceaccount:{home}:{account}, and what is bound to the "
                    "group system:serviceaccounts",
                )


@requirement(
    id="SEC-019",
    level="MUST",
    family="security",
    since="0.2",
    sentence="CloudCore MUST take a message, and sign a certificate, only for the node that the "
    "client's own certificate names.",
    why="A device that can get the certificate of another, or report for it, is that other.",
    source="Kubernetes documentation: Certificate Signing Requests (kubelet signers check the "
    "subject); docs/findings/kubeedge-node-identity.md",
)
@pytest.mark.needs(Capability.CONNECT, Capability.RUN_COMMAND, Capability.RESTART_AGENT)
def test_node_speaks_for_no_other(
    deployment: Deployment, evidence: Evidence, tmp_path: Path
) -> None:
    """Ask for the certificate of another node, and report a condition in its name."""
    edge, agent, own = _identity(deployment, tmp_path)
    cluster = deployment.cluster
    context = stranger(own)
    _assert_reachable(edge, agent, own)
    with ghost(cluster, "edge-conformance-sec-019") as other:
        request = Ask(
            "/edge.crt",
            headers={"NodeName": edge.name},
            body=signing_request(f"system:node:{other}", "system:nodes"),
        )
        answer = ask(from_node(edge, agent.https), context, request)
        signed = _subject(answer)
        evidence.value(f"{edge.name} asked for a certificate of {other}", signed or str(answer))
        reported = _report_for(edge, agent, own, cluster, other)
        evidence.value(f"{edge.name} reported a condition of {other}", reported)
        _assert_reachable(edge, agent, own)
        broken = [
            *([f"CloudCore signed {signed!r} for {edge.name}"] if other in signed else ()),
            *([f"the condition that {edge.name} reported is on {other}"] if reported else ()),
        ]
        assert not broken, explain(
            promised=f"with its certificate {edge.name} speaks for {edge.name} alone",
            seen="; ".join(broken),
            since="one request for a certificate, and one message, from the node",
            look="docs/findings/kubeedge-node-identity.md",
        )


def _identity(deployment: Deployment, folder: Path) -> tuple[EdgeNode, EdgeCore, ClientCertificate]:
    """An edge node, what its agent was told, and the node's certificate."""
    edge = first_edge(
        deployment, Capability.CONNECT, Capability.RUN_COMMAND, Capability.RESTART_AGENT
    )
    agent = edgecore(edge)
    return edge, agent, node_certificate(edge, agent, folder)


def _assert_reachable(edge: EdgeNode, agent: EdgeCore, own: ClientCertificate) -> None:
    """CloudCore answers the node: what it did not do, it did not want to do."""
    # Without the header that opens a session: the node's own one must not be disturbed.
    answer = ask(from_node(edge, agent.websocket), stranger(own), Ask("/"))
    assert answer.status is not None, (
        f"{edge.name} does not reach CloudCore at {agent.websocket} ({answer}): nothing is shown"
    )


def _report_for(
    edge: EdgeNode, agent: EdgeCore, own: ClientCertificate, cluster: Cluster, other: str
) -> bool:
    """Send a condition of another node to CloudCore; whether it arrived in the API."""
    condition = {"type": PROBE_CONDITION, "status": "True", "reason": "Probe", "message": edge.name}
    report = Message(f"default/nodepatch/{other}", "patch", {"status": {"conditions": [condition]}})
    with session_as(
        from_node(edge, agent.websocket), stranger(own), agent.websocket, other
    ) as session:
        if session is None:
            return False
        session.send(report)
        return observe_until(
            lambda: has_condition(cluster, other), lambda seen: seen, EFFECT_S
        ).accepted


def _subject(answer: Answer) -> str:
    """Whom the certificate in the answer names; empty where there is none."""
    if not answer.granted:
        return ""
    return x509.load_der_x509_certificate(answer.body).subject.rfc4514_string()


def _account_token(cluster: Cluster, account: str, namespace: str) -> str:
    core = client.CoreV1Api(cluster.api_client)
    request = client.AuthenticationV1TokenRequest(
        spec=client.V1TokenRequestSpec(audiences=[], expiration_seconds=600)
    )
    made = core.create_namespaced_service_account_token(
        account, namespace, request, _request_timeout=REQUEST_TIMEOUT_S
    )
    if made.status is None:
        raise AssertionError("a token request that was answered has a status")
    return str(made.status.token)


def _review(cluster: Cluster, bearer: dict[str, str]) -> str:
    """The user that the API server takes the token for."""
    token = bearer["Authorization"].removeprefix("Bearer ")
    api = client.AuthenticationV1Api(cluster.api_client)
    review = api.create_token_review(
        client.V1TokenReview(spec=client.V1TokenReviewSpec(token=token)),
        _request_timeout=REQUEST_TIMEOUT_S,
    )
    user = review.status.user if review.status else None
    return str(user.username) if user else ""
