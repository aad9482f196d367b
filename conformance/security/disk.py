"""Files on a node's disk: who may read them, and which of them hold a text."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from dataclasses import dataclass

from conformance.security.agent import as_root
from fixtures.target import EdgeNode

# Where agents, runtimes and installers keep what they know.
AGENT_FOLDERS = (
    "/etc/kubeedge",
    "/var/lib/kubeedge",
    "/var/lib/kubelet",
    "/etc/kubernetes",
    "/etc/rancher",
    "/var/lib/rancher/k3s/agent",
)
_IN_MEMORY = frozenset({"tmpfs", "ramfs"})
# Mode and owner of a file and of every folder above it, and the kind of its file system.
_STATE = r"""
for file in "$@"; do
    at=$(readlink -f "$file") && [ -e "$at" ] || continue
    echo "file $(stat -f -c %T "$at") $file"
    while :; do
        stat -c 'part %a %u' "$at"
        [ "$at" = / ] && break
        at=$(dirname "$at")
    done
done
exit 0
"""


@dataclass(frozen=True, slots=True)
class NodeFile:
    """A file on a node. ``parts`` are mode and owner of it and of all folders above it."""

    path: str
    filesystem: str
    parts: tuple[tuple[int, int], ...]

    @property
    def in_memory(self) -> bool:
        """Whether it is gone when the power is."""
        return self.filesystem in _IN_MEMORY

    @property
    def readable_by_others(self) -> bool:
        """Whether a user who is neither root nor in its group gets to it and may read it."""
        (mode, _), *folders = self.parts
        return bool(mode & stat.S_IROTH) and all(above & stat.S_IXOTH for above, _ in folders)

    @property
    def owned_by_root(self) -> bool:
        """Whether root owns it."""
        return self.parts[0][1] == 0

    def __str__(self) -> str:
        """For evidence and failures."""
        mode, owner = self.parts[0]
        return f"{self.path} ({mode:04o}, uid {owner}, {self.filesystem})"


def files(edge: EdgeNode, paths: Sequence[str]) -> tuple[NodeFile, ...]:
    """State of those of the files that exist."""
    return parse(as_root(edge, _STATE, *paths))


def parse(text: str) -> tuple[NodeFile, ...]:
    """Files out of what the script prints."""
    found: list[tuple[str, str, list[tuple[int, int]]]] = []
    for line in text.splitlines():
        kind, *rest = line.split(None, 2)
        if kind == "file":
            found.append((rest[1], rest[0], []))
        else:
            found[-1][2].append((int(rest[0], 8), int(rest[1])))
    return tuple(NodeFile(path, system, tuple(parts)) for path, system, parts in found)


def holding(edge: EdgeNode, patterns: Sequence[str], folders: Sequence[str]) -> tuple[str, ...]:
    """Files below the folders that hold one of the extended regular expressions.

    Other file systems are searched as well, so a tmpfs of a pod's volume is found too.
    """
    script = (
        'pattern=$1; shift; for folder in "$@"; do [ -d "$folder" ] &&'
        ' find "$folder" -type f -size -64M -exec grep -lEaZ -e "$pattern" {} + ;'
        " done | tr '\\0' '\\n'; exit 0"
    )
    text = as_root(edge, script, "|".join(f"({one})" for one in patterns), *folders)
    return tuple(sorted({line for line in text.split("\n") if line}))
