"""TCP sockets that listen on a node, from the kernel's own tables."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass

from conformance.security.agent import as_root
from fixtures.target import EdgeNode

_LISTEN = "0A"
# One line per listening socket, then one per socket that a process holds.
_SCRIPT = r"""
for table in /proc/net/tcp /proc/net/tcp6; do
    [ -r "$table" ] && while read -r slot local remote state rest; do
        [ "$state" = 0A ] || continue
        set -- $rest
        echo "socket $local $6"
    done <"$table"
done
for folder in /proc/[0-9]*; do
    for link in $(ls -l "$folder/fd" 2>/dev/null | sed -n 's/.*socket:\[\([0-9]*\)\].*/\1/p'); do
        echo "holder $link ${folder#/proc/}"
    done
done
for folder in /proc/[0-9]*; do
    if read -r name <"$folder/comm"; then echo "name ${folder#/proc/} $name"; fi 2>/dev/null
done
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
    """Sockets out of what the script prints."""
    lines = [line.split(" ", 2) for line in text.splitlines() if line.count(" ") >= 2]
    holders = {inode: int(pid) for kind, inode, pid in lines if kind == "holder"}
    names = {int(pid): name for kind, pid, name in lines if kind == "name"}
    for kind, local, inode in lines:
        if kind != "socket":
            continue
        address, _, port = local.partition(":")
        pid = holders.get(inode, 0)
        yield Listening(_address(address), int(port, 16), pid, names.get(pid, ""))


def _address(text: str) -> str:
    """The kernel prints each 32-bit word of an address in the machine's own byte order."""
    words = [bytes.fromhex(text[at : at + 8])[::-1] for at in range(0, len(text), 8)]
    found = ipaddress.ip_address(b"".join(words))
    mapped = getattr(found, "ipv4_mapped", None)
    return str(mapped or found)
