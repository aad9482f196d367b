"""What an EdgeCore on a node was told: where CloudCore is, and where its secrets lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import pytest
import yaml

from conformance.capabilities import require
from conformance.security.tls import ClientCertificate, Connect
from fixtures.target import Capability, EdgeNode, JsonValue

CONNECT_TIMEOUT_S = 5.0
_CONFIG = "/etc/kubeedge/config/edgecore.yaml"
# Where the ssh of a device gives no root, sudo does (the survey has looked).
_AS_ROOT = 'if [ "$(id -u)" = 0 ]; then exec sh -c "$@"; else exec sudo -n sh -c "$@"; fi'


@dataclass(frozen=True, slots=True)
class Address:
    """A TCP address."""

    host: str
    port: int

    def __str__(self) -> str:
        """For evidence and failures."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class EdgeCore:
    """The parts of EdgeCore's configuration that its security rests on; paths are the node's."""

    config: str
    https: Address
    websocket: Address
    meta_server: Address
    authority: str
    certificate: str
    key: str
    database: str


def as_root(edge: EdgeNode, script: str, *arguments: str, timeout_s: float = 60.0) -> str:
    """Run a shell script on the node as root; the test fails where it fails."""
    done = edge.run(["sh", "-c", _AS_ROOT, "as-root", script, "sh", *arguments], timeout_s)
    assert done.exit_code == 0, (
        f"{edge.name}: {script[:200]}: exit status {done.exit_code}: {done.stderr.strip()[-500:]}"
    )
    return done.stdout


def edgecore(edge: EdgeNode) -> EdgeCore:
    """EdgeCore's configuration, from where the running agent has it; skips for other agents."""
    require(edge, Capability.RUN_COMMAND, Capability.RESTART_AGENT)
    pid = edge.agent_pid()
    assert pid is not None, f"{edge.name}: the agent does not run"
    words = as_root(edge, 'tr "\\0" "\\n" <"/proc/$1/cmdline"', str(pid)).split("\n")
    if not any(Path(word).name == "edgecore" for word in words):
        pytest.skip(f"{edge.name}: its agent is {words[0]}, and not KubeEdge's EdgeCore")
    path = next((w.partition("=")[2] for w in words if w.startswith("--config=")), _CONFIG)
    document = yaml.safe_load(as_root(edge, 'cat "$1"', path))
    return _parse(path, _Section(document))


def node_certificate(edge: EdgeNode, agent: EdgeCore, folder: Path) -> ClientCertificate:
    """The node's own identity, copied from its disk into the test's folder."""
    pair = ClientCertificate(folder / f"{edge.name}.crt", folder / f"{edge.name}.key")
    for source, target in ((agent.certificate, pair.certificate), (agent.key, pair.key)):
        target.touch(mode=0o600)
        target.write_text(as_root(edge, 'cat "$1"', source))
    return pair


def from_node(edge: EdgeNode, address: Address) -> Connect:
    """Connections from the node to the address."""
    return lambda: edge.connect(address.host, address.port, CONNECT_TIMEOUT_S)


class _Section:
    """A mapping of a YAML document, read with defaults."""

    def __init__(self, value: JsonValue) -> None:
        self._map = cast("Mapping[str, JsonValue]", value or {})

    def part(self, key: str) -> _Section:
        return _Section(self._map.get(key))

    def text(self, key: str, default: str) -> str:
        return str(self._map.get(key) or default)


def _parse(path: str, document: _Section) -> EdgeCore:
    modules = document.part("modules")
    hub = modules.part("edgeHub")
    url = urlsplit(hub.text("httpServer", "https://"))
    # The defaults are KubeEdge's own.
    meta_server = modules.part("metaManager").part("metaServer")
    return EdgeCore(
        config=path,
        https=Address(url.hostname or "", url.port or 10002),
        websocket=_address(hub.part("websocket").text("server", f"{url.hostname}:10000")),
        meta_server=_address(meta_server.text("server", "127.0.0.1:10550")),
        authority=hub.text("tlsCaFile", "/etc/kubeedge/ca/rootCA.crt"),
        certificate=hub.text("tlsCertFile", "/etc/kubeedge/certs/server.crt"),
        key=hub.text("tlsPrivateKeyFile", "/etc/kubeedge/certs/server.key"),
        database=document.part("database").text("dataSource", "/var/lib/kubeedge/edgecore.db"),
    )


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return Address(host.strip("[]"), int(port))
