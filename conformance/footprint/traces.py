"""What pods leave on a node outside of their containers: processes, mounts and interfaces."""

from __future__ import annotations

from dataclasses import dataclass, fields

from conformance.errors import ConformanceError
from fixtures.target import EdgeNode

_SCRIPT = r"""
cat /proc/[0-9]*/comm 2>/dev/null | grep -c '^containerd-shim' || true
grep -c -e /kubelet/pods/ -e /run/containerd/ -e /run/netns/ /proc/mounts || true
ls /sys/class/net | grep -c '^veth' || true
"""


@dataclass(frozen=True, slots=True)
class Traces:
    """How many there are of each."""

    shims: int
    mounts: int
    interfaces: int

    def beyond(self, before: Traces) -> str:
        """What is there more than before, in words; "" where nothing is."""
        more = {
            one.name: getattr(self, one.name) - getattr(before, one.name) for one in fields(self)
        }
        return ", ".join(f"{count} more {name}" for name, count in more.items() if count > 0)


def traces(edge: EdgeNode) -> Traces:
    """Count them now, as any user of the node may."""
    done = edge.run(["sh", "-c", _SCRIPT])
    words = done.stdout.split()
    if done.exit_code != 0 or len(words) != len(fields(Traces)):
        raise ConformanceError(
            f"{edge.name}: counting shims, mounts and interfaces gave {done.stdout!r}, "
            f"exit status {done.exit_code}: {done.stderr.strip()}"
        )
    return Traces(*map(int, words))
