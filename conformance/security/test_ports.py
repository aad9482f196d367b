"""Security: what an edge node opens to the site and to the cloud's side, and to whom."""

from __future__ import annotations

from functools import partial

import pytest
import urllib3
from kubernetes import client

from conformance.capabilities import require
from conformance.catalogue import requirement
from conformance.explain import explain
from conformance.security.claims import claimed
from conformance.security.listening import Listening, listening
from conformance.security.tls import Ask, Connect, ask, stranger
from conformance.workloads import REQUEST_TIMEOUT_S
from fixtures.profile import Profile
from fixtures.target import Capability, Cluster, Deployment, EdgeNode, Evidence, Side

CONNECT_TIMEOUT_S = 5.0
# Seconds on an idle machine; long on a busy one, or where packets are dropped.
SCAN_TIMEOUT_S = 180.0
# The kubelet's ports, EdgeCore's read-only one, and its MetaServer's.
_AGENT_PORTS = (10250, 10255, 10350, 10550)
_AGENT_PATHS = ("/pods", "/api/v1/pods", "/metrics", "/runningpods/")
_FOREIGN_MODEL = "edge-conformance-no-such-model"


def _addresses(cluster: Cluster, edge: EdgeNode) -> dict[Side, str]:
    """The node's address on the site's LAN, and the one that it registered with the cloud."""
    core = client.CoreV1Api(cluster.api_client)
    status = core.read_node(edge.name, _request_timeout=REQUEST_TIMEOUT_S).status
    internal = [
        one.address
        for one in (status.addresses if status else None) or ()
        if one.type == "InternalIP"
    ]
    assert internal, f"{edge.name} has registered no InternalIP"
    return {Side.LAN: edge.endpoint.host, Side.CLOUD: internal[0]}


@requirement(
    id="SEC-003",
    level="MUST",
    family="security",
    since="0.2",
    sentence="The agent's own ports on an edge node MUST tell an anonymous client on the LAN or "
    "on the cloud's side nothing of its pods.",
    why="The kubelet's API lists the pods of a node with their environment, and can run commands "
    "in them.",
    source="CIS Kubernetes Benchmark 4.2.1 and 4.2.4; KubeEdge documentation: MetaServer",
)
@pytest.mark.needs(Capability.RUN_COMMAND, Capability.RESTART_AGENT)
def test_agent_tells_strangers_nothing(
    edge: EdgeNode, deployment: Deployment, evidence: Evidence
) -> None:
    """Ask each port that the agent has, and each that agents usually have, from both sides."""
    require(edge, Capability.RUN_COMMAND, Capability.RESTART_AGENT)
    pid = edge.agent_pid()
    assert pid is not None, f"{edge.name}: the agent does not run"
    mine = [one for one in listening(edge) if one.pid == pid]
    evidence.value(f"{edge.name} sockets of the agent", [str(one) for one in mine])
    assert mine, f"{edge.name}: the agent (process {pid}) listens nowhere, so nothing was looked at"
    ports = sorted({*_AGENT_PORTS, *(one.port for one in mine)})
    for side, host in _addresses(deployment.cluster, edge).items():
        viewpoint = deployment.viewpoint(side)
        for port in ports:
            connect = partial(viewpoint.connect, host, port, CONNECT_TIMEOUT_S)
            try:
                connect().close()
            except OSError as error:
                evidence.value(f"{host}:{port} from {side.value}", type(error).__name__)
                continue
            told = _told(connect)
            evidence.value(f"{host}:{port} from {side.value}", f"open, tells {told or 'nothing'}")
            assert told is None, explain(
                promised=f"the agent of {edge.name} tells nothing to a stranger on {side.value}",
                seen=f"{host}:{port}{told}",
                since=f"asked from {viewpoint.name}, without any credentials",
                look="the agent's `address`, `readOnlyPort` and authentication; "
                f"its sockets: {[str(one) for one in mine]}",
            )


def _told(connect: Connect) -> str | None:
    """What a stranger is told, over HTTPS or, where that is not spoken, over HTTP."""
    for path in _AGENT_PATHS:
        for context in (stranger(), None):
            answer = ask(connect, context, Ask(path))
            if answer.granted:
                return f"{path} gave {answer}: {answer.body[:200]!r}"
    return None


def _scan(
    edge: EdgeNode, deployment: Deployment, side: Side, allowed: tuple[int, ...], evidence: Evidence
) -> None:
    host = _addresses(deployment.cluster, edge)[side]
    viewpoint = deployment.viewpoint(side)
    sockets: tuple[Listening, ...] = ()
    if Capability.RUN_COMMAND in edge.capabilities:
        sockets = tuple(one for one in listening(edge) if not one.loopback)
        evidence.value(f"{edge.name} listening sockets", [str(one) for one in sockets])
    found = viewpoint.open_ports(host, SCAN_TIMEOUT_S)
    evidence.value(f"{edge.name} open to {side.value}", list(found))
    evidence.value(f"{edge.name} scanned from", viewpoint.name)
    assert edge.endpoint.http_port in found or side is not Side.LAN, (
        f"{edge.name}: the scan of {host} from {viewpoint.name} found {list(found)}, and not even "
        f"the inference server's port {edge.endpoint.http_port}: it shows nothing"
    )
    extra = sorted(set(found) - set(allowed))
    who = [str(one) for one in sockets if one.port in extra]
    assert not extra, explain(
        promised=f"{edge.name} opens to {side.value} only what the profile names: {list(allowed)}",
        seen=f"{host} also accepts connections on {extra}: "
        f"{who or 'no socket of the node is known'}",
        since=f"a scan of all 65535 TCP ports from {viewpoint.name}",
        look="which process holds them (ss -ltnp on the node), or add them to the profile's "
        "`security.lanPorts` and `security.wanPorts`",
    )


@requirement(
    id="SEC-009",
    level="MUST",
    family="security",
    since="0.2",
    sentence="An edge node MUST accept TCP connections from the site's LAN only on the ports that "
    "the profile names.",
    why="Everything on a shop floor shares that LAN, and each open port is one more to patch.",
    source="NIST SP 800-190 (4.5: host OS attack surface); ETSI EN 303 645, 5.6",
)
def test_lan_sees_only_the_ports_of_the_profile(
    edge: EdgeNode, deployment: Deployment, profile: Profile, evidence: Evidence
) -> None:
    """Try all 65535 ports from the LAN."""
    _scan(edge, deployment, Side.LAN, claimed(profile).lan_ports, evidence)


@requirement(
    id="SEC-010",
    level="MUST",
    family="security",
    since="0.2",
    sentence="An edge node MUST accept TCP connections from the cloud's side of the link only on "
    "the ports that the profile names.",
    why="The link often crosses the Internet; an edge node dials out, and need not be dialled.",
    source="NIST SP 800-190 (4.5: host OS attack surface); ETSI EN 303 645, 5.6",
)
def test_cloud_side_sees_only_the_ports_of_the_profile(
    edge: EdgeNode, deployment: Deployment, profile: Profile, evidence: Evidence
) -> None:
    """Try all 65535 ports from the cloud's side, at the address that the node registered."""
    _scan(edge, deployment, Side.CLOUD, claimed(profile).wan_ports, evidence)


@requirement(
    id="SEC-011",
    level="MUST",
    family="security",
    since="0.2",
    sentence="Unless the profile claims that it is open, the inference server MUST refuse to load "
    "and unload models for a client on the LAN.",
    why="Whoever may load a model with files of his own runs his own program on the accelerator.",
    source="Triton documentation: Secure Deployment Considerations (model control API)",
)
def test_model_control_is_as_claimed(edge: EdgeNode, profile: Profile, evidence: Evidence) -> None:
    """Ask for a model that does not exist: a refusal and a failure to find it differ."""
    claims = claimed(profile)
    pool = urllib3.PoolManager(retries=False, timeout=CONNECT_TIMEOUT_S)
    base = edge.endpoint.http_url
    live = pool.request("GET", f"{base}/v2/health/live").status
    assert live == 200, f"{edge.name}: {base}/v2/health/live gave HTTP {live}"
    for verb in ("load", "unload"):
        path = f"v2/repository/models/{_FOREIGN_MODEL}/{verb}"
        answer = pool.request("POST", f"{base}/{path}", body=b"{}")
        text = answer.data.decode(errors="replace")
        # Explicit control looks for the model and does not find it (or, for unload, does nothing).
        unknown = answer.status == 404 and _FOREIGN_MODEL not in text
        refused = answer.status in (401, 403, 405, 501, 503) or "not allowed" in text or unknown
        evidence.value(f"{edge.name} {verb} from the LAN", f"HTTP {answer.status}: {text[:120]}")
        assert refused or claims.model_control == "lan", explain(
            promised=f"the inference server of {edge.name} takes no model control from the LAN "
            "(the profile claims modelControl: refused)",
            seen=f"POST {path} was taken: HTTP {answer.status}: {text[:200]}",
            since="one request over the LAN, for a model that does not exist",
            look="--model-control-mode (none), --http-restricted-api, or a proxy before the server",
        )
