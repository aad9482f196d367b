"""Security: who has no right to it gets neither the control plane, nor the registry, nor a join."""

from __future__ import annotations

import secrets
import socket
import ssl
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from kubernetes import client

from conformance.capabilities import first_edge, require
from conformance.catalogue import requirement
from conformance.explain import explain
from conformance.pods import INFERENCE_SELECTOR
from conformance.security.agent import Address, edgecore, from_node, node_certificate
from conformance.security.claims import claimed
from conformance.security.images import registries
from conformance.security.tls import (
    Answer,
    Ask,
    Connect,
    ask,
    handshake,
    self_signed,
    signing_request,
    stranger,
)
from conformance.security.tokens import authority_key, token
from conformance.workloads import REQUEST_TIMEOUT_S
from fixtures.profile import Profile
from fixtures.target import Capability, Cluster, Deployment, Evidence

CONNECT_TIMEOUT_S = 5.0
DAY_S = 86_400
# What tells of a cluster, and what runs in it.
_API_PATHS = (
    "/api/v1/secrets?limit=1",
    "/api/v1/nodes?limit=1",
    "/api/v1/pods?limit=1",
    "/metrics",
)
_OLD_VERSIONS = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)
_EDGE_CERT = "/edge.crt"


def _api(cluster: Cluster) -> tuple[Address, Connect]:
    """Where the API server is, and connections to it from the machine that runs the suite."""
    url = urlsplit(cluster.api_client.configuration.host)
    address = Address(url.hostname or "", url.port or 443)
    return address, lambda: socket.create_connection(
        (address.host, address.port), CONNECT_TIMEOUT_S
    )


@requirement(
    id="SEC-001",
    level="MUST",
    family="security",
    since="0.2",
    sentence="The API server MUST refuse a request without credentials, with a certificate of a "
    "foreign authority, or with a made-up token.",
    why="Whoever reads the API server owns every site of the cluster.",
    source="CIS Kubernetes Benchmark 1.2.1 (anonymous authentication); Kubernetes documentation: "
    "Controlling Access to the Kubernetes API",
)
def test_api_server_refuses_strangers(cluster: Cluster, evidence: Evidence, tmp_path: Path) -> None:
    """Ask for what only an administrator may see, as nobody, as a forger and with a false token."""
    address, connect = _api(cluster)
    # With the administrator's credentials it answers: what follows is a refusal, and no silence.
    version = client.VersionApi(cluster.api_client).get_code(_request_timeout=REQUEST_TIMEOUT_S)
    evidence.value(f"{address} as the administrator", version.git_version)
    forger = self_signed(tmp_path, "kubernetes-admin", "system:masters")
    false_token = {"Authorization": f"Bearer {secrets.token_urlsafe(32)}"}
    for path in _API_PATHS:
        for who, context, headers in (
            ("without credentials", stranger(), {}),
            ("with a certificate that nobody signed", stranger(forger), {}),
            ("with a made-up token", stranger(), false_token),
        ):
            answer = ask(connect, context, Ask(path, headers=headers))
            evidence.value(f"{path} {who}", str(answer))
            assert not answer.granted, explain(
                promised=f"the API server {address} refuses {path} {who}",
                seen=f"{answer}: {answer.body[:300]!r}",
                since="the test's first request; nothing was changed",
                look="--anonymous-auth and --client-ca-file of kube-apiserver, and what is bound "
                "to the group system:unauthenticated",
            )


@requirement(
    id="SEC-002",
    level="MUST",
    family="security",
    since="0.2",
    sentence="CloudCore MUST open no session for, and sign no certificate on, a certificate of a "
    "foreign authority or none.",
    why="A stranger with a session receives the pods and the Secrets of a site, and can report a "
    "dead node as healthy.",
    source="KubeEdge documentation: CloudCore (ports 10000 and 10002); KubeEdge threat model",
)
@pytest.mark.needs(Capability.CONNECT, Capability.RUN_COMMAND)
def test_cloudcore_refuses_strangers(
    deployment: Deployment, evidence: Evidence, tmp_path: Path
) -> None:
    """From the node: as nobody, with a forged certificate of that very node, and with its own."""
    edge = first_edge(
        deployment, Capability.CONNECT, Capability.RUN_COMMAND, Capability.RESTART_AGENT
    )
    agent = edgecore(edge)
    own = node_certificate(edge, agent, tmp_path)
    forged = self_signed(tmp_path, f"system:node:{edge.name}", "system:nodes")
    # Without the header that opens a session: the node's own one must not be disturbed.
    hello = Ask("/")
    sign = Ask(
        _EDGE_CERT,
        headers={"NodeName": edge.name},
        body=signing_request(f"system:node:{edge.name}", "system:nodes"),
    )
    session, certificates = from_node(edge, agent.websocket), from_node(edge, agent.https)
    known = ask(session, stranger(own), hello)
    evidence.value(f"{agent.websocket} with the node's own certificate", str(known))
    assert known.status is not None, explain(
        promised=f"CloudCore's {agent.websocket} speaks to the node's own certificate",
        seen=str(known),
        since="the test's first request",
        look=f"whether {edge.name} is connected: {agent.certificate} and CloudCore's log",
    )
    for who, context in (
        ("without a certificate", stranger()),
        ("with a forged certificate", stranger(forged)),
    ):
        answer = ask(session, context, hello)
        evidence.value(f"{agent.websocket} {who}", str(answer))
        assert answer.status is None, _open_door(agent.websocket, who, answer)
        answer = ask(certificates, context, sign)
        evidence.value(f"{agent.https}{_EDGE_CERT} {who}", str(answer))
        assert answer.status is not None, explain(
            promised=f"CloudCore's {agent.https} answers",
            seen=str(answer),
            since="the test's request for a certificate",
            look="whether CloudCore runs",
        )
        assert not answer.granted, _open_door(agent.https, who, answer)


def _open_door(address: Address, who: str, answer: Answer) -> str:
    return explain(
        promised=f"CloudCore's {address} refuses a client {who}",
        seen=f"{answer}: {answer.body[:200]!r}",
        since="the test's first request; nothing was changed",
        look="what stands at that address: CloudCore itself, or a proxy that lends its identity",
    )


@requirement(
    id="SEC-004",
    level="MUST",
    family="security",
    since="0.2",
    sentence="The registry that the inference servers' images come from MUST refuse an anonymous "
    "push.",
    why="Whoever writes to the registry runs programs on every site at the next pull.",
    source="Distribution: Deploying a registry server (Restricting access); OWASP Kubernetes Top "
    "Ten K02 (Supply Chain Vulnerabilities)",
)
@pytest.mark.needs(Capability.CONNECT)
def test_registry_refuses_anonymous_push(deployment: Deployment, evidence: Evidence) -> None:
    """Begin an upload from an edge node, into the repository of its own image."""
    edge = first_edge(deployment, Capability.CONNECT)
    found = registries(deployment.cluster, INFERENCE_SELECTOR)
    if not found:
        pytest.skip("no image of an inference server names a registry (host:port/...)")
    for address, repository in found:
        connect = from_node(edge, address)
        there = ask(connect, stranger(), Ask("/v2/"))
        assert there.status is not None, explain(
            promised=f"the registry {address} answers {edge.name} over TLS",
            seen=str(there),
            since="the test's first request",
            look="whether the registry runs, and speaks TLS",
        )
        answer = ask(connect, stranger(), Ask(f"/v2/{repository}/blobs/uploads/", "POST"))
        evidence.value(f"{address} anonymous push to {repository}", str(answer))
        assert answer.status in (401, 403, 405), explain(
            promised=f"the registry {address} refuses a push without credentials",
            seen=f"{answer}: {answer.body[:200]!r}",
            since=f"an upload was begun from {edge.name} (it is given up unfinished)",
            look="the registry's `auth`, or `storage.maintenance.readonly`",
        )


@requirement(
    id="SEC-005",
    level="MUST",
    family="security",
    since="0.2",
    sentence="Joining MUST need a token that CloudCore has signed and that has not expired.",
    why="A token that leaked last year, or none, must not bring a machine into the cluster.",
    source="KubeEdge documentation: Deploying using Keadm (tokens are valid for 24 hours)",
)
@pytest.mark.needs(Capability.CONNECT, Capability.RUN_COMMAND)
def test_join_needs_a_valid_token(deployment: Deployment, evidence: Evidence) -> None:
    """Ask CloudCore for a certificate with no, a forged, an expired and at last a good token."""
    edge = first_edge(
        deployment, Capability.CONNECT, Capability.RUN_COMMAND, Capability.RESTART_AGENT
    )
    agent = edgecore(edge)
    key = authority_key(deployment.cluster)
    now = int(time.time())
    # The certificate that the good token gets is for a node that does not exist, and its key is
    # never written anywhere.
    body = signing_request("system:node:edge-conformance-probe", "system:nodes")

    def join(bearer: str | None) -> Answer:
        headers = {"NodeName": "edge-conformance-probe"}
        if bearer is not None:
            headers["Authorization"] = f"Bearer {bearer}"
        return ask(from_node(edge, agent.https), stranger(), Ask(_EDGE_CERT, "GET", headers, body))

    for what, bearer in (
        ("no token", None),
        ("a token of a foreign key", token(secrets.token_bytes(32), now + DAY_S)),
        ("an expired token", token(key, now - 60)),
    ):
        answer = join(bearer)
        evidence.value(f"join with {what}", str(answer))
        assert answer.status in (401, 403), explain(
            promised=f"CloudCore's {agent.https} signs no certificate for {what}",
            seen=f"{answer}: {answer.body[:200]!r}",
            since=f"the request from {edge.name}",
            look="CloudCore's log, and what stands between the node and CloudCore",
        )
    good = join(token(key, now + 600))
    evidence.value("join with a valid token", str(good))
    assert good.granted, explain(
        promised="a token that CloudCore's authority has signed, and that is valid, is taken",
        seen=f"{good}: {good.body[:200]!r}; so the refusals above prove nothing",
        since="the last request",
        look="CloudCore's log",
    )


@requirement(
    id="SEC-016",
    level="MUST",
    family="security",
    since="0.2",
    sentence="API server, CloudCore and registry MUST refuse every TLS version older than the "
    "profile claims, and none older than 1.2 may be claimed.",
    why="TLS 1.0 and 1.1 can be broken by whoever sits on the uplink.",
    source="RFC 8996 (Deprecating TLS 1.0 and TLS 1.1); NIST SP 800-52r2",
)
@pytest.mark.needs(Capability.CONNECT, Capability.RUN_COMMAND)
def test_old_tls_is_refused(
    deployment: Deployment, profile: Profile, evidence: Evidence, tmp_path: Path
) -> None:
    """Offer each old version alone, to every TLS port that a node talks to."""
    minimum = claimed(profile).tls_minimum
    edge = first_edge(
        deployment, Capability.CONNECT, Capability.RUN_COMMAND, Capability.RESTART_AGENT
    )
    require(edge, Capability.CONNECT)
    agent = edgecore(edge)
    own = node_certificate(edge, agent, tmp_path)
    api, to_api = _api(deployment.cluster)
    targets = [
        (f"API server {api}", to_api),
        (f"CloudCore {agent.websocket}", from_node(edge, agent.websocket)),
        (f"CloudCore {agent.https}", from_node(edge, agent.https)),
        *(
            (f"registry {address}", from_node(edge, address))
            for address, _ in registries(deployment.cluster, INFERENCE_SELECTOR)
        ),
    ]
    refused = [*_OLD_VERSIONS, *([ssl.TLSVersion.TLSv1_2] if minimum == "1.3" else [])]
    for name, connect in targets:
        best = handshake(connect, stranger(own))
        evidence.value(f"{name} agreed", best)
        assert best is not None, f"{name} speaks no TLS at all, so nothing is shown"
        for version in refused:
            agreed = handshake(connect, stranger(own, version))
            evidence.value(f"{name} offered {version.name}", agreed or "refused")
            assert agreed is None, explain(
                promised=f"{name} refuses what is older than TLS {minimum}",
                seen=f"it agreed on {agreed}, which was all that was offered",
                since="the handshake",
                look="the server's minimum TLS version (--tls-min-version, http.tls.minimumtls)",
            )
