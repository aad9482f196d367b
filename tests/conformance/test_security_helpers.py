"""The security tests' helpers: what they read out of a node, and what they make of it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import socket
from pathlib import Path

import pytest
from kubernetes import client

from conformance.security.credentials import in_kubeconfig
from conformance.security.disk import parse as parse_files
from conformance.security.listening import parse as parse_sockets
from conformance.security.privileges import privileges
from conformance.security.test_pods import host_mounts
from conformance.security.tokens import token
from fixtures import port_scan
from fixtures.reference import kubeconfig
from fixtures.reference.certificates import Authority


def test_scan_finds_what_listens_and_nothing_else() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        ports = range(max(1, port - 50), min(65536, port + 50))
        assert port in port_scan.open_ports("127.0.0.1", 10.0, ports)
    assert port not in port_scan.open_ports("127.0.0.1", 10.0, ports)


def test_sockets_are_read_from_the_kernels_tables() -> None:
    row = "00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0"
    text = (
        "/proc/net/tcp:  sl  local_address rem_address   st tx_queue rx_queue tr tm->when\n"
        f"/proc/net/tcp:   0: 0100007F:2936 {row} 111 1\n"
        f"/proc/net/tcp:   1: 0100007F:9999 {row.replace('0A', '01', 1)} 444 1\n"
        f"/proc/net/tcp6:   0: {'0' * 32}:1F41 {row} 222 1\n"
        f"/proc/net/tcp6:   1: 0000000000000000FFFF00000A01A8C0:1F42 {row} 333 1\n"
        "/proc/42/comm:edgecore\n/proc/43/comm:triton server\n"
        "/proc/42/fd:\ntotal 0\nlrwx------ 1 root root 64 Nov 24 20:00 3 -> socket:[111]\n"
        "\n/proc/43/fd:\nlrwx------ 1 root root 64 Nov 24 20:00 9 -> socket:[222]\n"
    )
    first, second, third = parse_sockets(text)
    assert (str(first), first.loopback) == ("127.0.0.1:10550 (edgecore)", True)
    assert (str(second), second.loopback) == (":::8001 (triton server)", False)
    assert str(third) == "192.168.1.10:8002 (unknown process)"


@pytest.mark.parametrize(
    ("parts", "readable"),
    [
        ("part 644 0\npart 755 0\npart 755 0\n", True),
        ("part 600 0\npart 755 0\npart 755 0\n", False),
        ("part 644 0\npart 700 0\npart 755 0\n", False),
    ],
)
def test_a_file_is_as_open_as_the_folders_above_it(parts: str, readable: bool) -> None:
    (file,) = parse_files(f"file ext2/ext3 /var/lib/a file\n{parts}")
    assert file.path == "/var/lib/a file"
    assert file.readable_by_others is readable
    assert not file.in_memory


def test_privileges_of_a_pod() -> None:
    hard = client.V1SecurityContext(allow_privilege_escalation=False, run_as_user=1000)
    spec = client.V1PodSpec(containers=[client.V1Container(name="a", security_context=hard)])
    assert privileges(client.V1Pod(spec=spec)) == frozenset()
    spec.host_network = True
    spec.volumes = [client.V1Volume(name="host", host_path=client.V1HostPathVolumeSource(path="/"))]
    spec.containers.append(client.V1Container(name="b"))
    found = privileges(client.V1Pod(spec=spec))
    assert found == {"hostNetwork", "hostPath", "privilegeEscalation", "rootUser"}


def test_mounts_of_kubelet_and_runtime_are_no_host_mounts() -> None:
    own = "36 35 8:1 /kubelet/pods/uid/etc-hosts /etc/hosts rw - ext4 /dev/sda1 rw\n"
    kernel = "37 35 0:5 / /proc rw - proc proc rw\n"
    assert host_mounts(own + kernel) == ()
    foreign = "38 35 8:1 /etc /host-etc rw - ext4 /dev/sda1 rw\n"
    assert host_mounts(own + foreign) == ("/etc at /host-etc (ext4)",)


def test_a_kubeconfig_tells_whose_it_is(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    for name, groups in (("admin", ("system:masters",)), ("user", ("people",))):
        pair = authority.issue(name, name, groups)
        path = kubeconfig.write(
            tmp_path / name, "https://127.0.0.1", authority.pair.certificate, pair
        )
        (found,) = in_kubeconfig(str(path), path.read_text())
        assert found.groups == groups
        assert found.is_administrator is (name == "admin")
    assert list(in_kubeconfig("other.yaml", "kind: Pod")) == []


def test_a_token_is_a_signed_json_web_token() -> None:
    made = token(b"key", 1)
    signed, _, signature = made.rpartition(".")
    expected = hmac.new(b"key", signed.encode(), hashlib.sha256).digest()
    assert base64.urlsafe_b64decode(signature + "=") == expected
    assert base64.urlsafe_b64decode(signed.split(".")[1] + "==") == b'{"exp":1}'
