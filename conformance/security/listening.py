"""TCP sockets that listen on a node, from the kernel's own tables."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass

from conformance.security.agent import as_root
from fixtures.target import EdgeNode

_LISTEN = "0A"
_SOCKET = re.compile(r"socket:\[(\d+)\]")
# Few processes, as this also runs on small devices; what it prints is put together here.
_SCRIPT = """
grep -s . /proc/net/tcp /proc/net/tcp6
grep -s . /proc/[0-9]*/comm
ls -l /proc/[0-9]*/fd 2>/dev/null
exit 0
"""


@dataclass(frozen=True, slots=True)
class Listening:
    """A listening socket: its address, port, and the process that holds it (0: not visible)."""

    address: str
    port: int
    pid: int
    process: str

    @property
    def loopback(self) -> bool:
        """Whether only the node itself reaches it."""
        return ipaddress.ip_address(self.address).is_loopback

    def __str__(self) -> str:
        """For evidence and failures."""
        return f"{self.address}:{self.port} ({self.process or 'unknown process'})"


def listening(edge: EdgeNode) -> tuple[Listening, ...]:
    """Every TCP socket that listens in the node's network namespace."""
    return tuple(sorted(parse(as_root(edge, _SCRIPT)), key=lambda one: (one.port, one.address)))


def parse(text: str) -> Iterator[Listening]:
    """Sockets out of what the script prints: the kernel's tables, names, open files by process."""
    sockets: list[tuple[str, str]] = []
    names: dict[int, str] = {}
    holders: dict[str, int] = {}
    process = 0
    for line in text.splitlines():
        if line.startswith("/proc/net/"):
            words = line.partition(":")[2].split()
            if len(words) > 9 and words[3] == _LISTEN:
                sockets.append((words[1], words[9]))
        elif line.startswith("/proc/") and "/comm:" in line:
            path, _, name = line.partition(":")
            names[int(path.split("/")[2])] = name
        elif line.startswith("/proc/") and line.endswith("/fd:"):
            process = int(line.split("/")[2])
        elif found := _SOCKET.search(line):
            holders.setdefault(found.group(1), process)
    for local, inode in sockets:
        address, _, port = local.partition(":")
        pid = holders.get(inode, 0)
        yield Listening(_address(address), int(port, 16), pid, names.get(pid, ""))


def _address(text: str) -> str:
    """The kernel prints each 32-bit word of an address in the machine's own byte order."""
    words = [bytes.fromhex(text[at : at + 8])[::-1] for at in range(0, len(text), 8)]
    found = ipaddress.ip_address(b"".join(words))
    mapped = getattr(found, "ipv4_mapped", None)
    return str(mapped or found)
