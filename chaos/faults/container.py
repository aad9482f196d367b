"""The fault of a killed container."""

from __future__ import annotations

from collections.abc import Mapping

from chaos.errors import TargetNotFound
from fixtures.target import ContainerInfo, EdgeNode, JsonValue, wait_until


class ContainerKill:
    """A container's first process gets SIGKILL; the agent starts a new one in the same pod."""

    def __init__(self, edge: EdgeNode, container: ContainerInfo) -> None:
        self.name = "container-kill"
        self.target = f"{edge.name}/{container.pod_name}/{container.name}"
        self.plan: Mapping[str, JsonValue] = {
            "signal": "SIGKILL",
            "container": container.id,
            "pod_uid": container.pod_uid,
        }
        self.ends_after_s: float | None = None
        self._edge = edge
        self._container = container

    def arm_and_inject(self) -> None:
        """Kill the container, which must still run."""
        if self._container.id not in self._running():
            raise TargetNotFound(f"container {self.target}: {self._container.id} does not run")
        self._edge.kill_container(self._container)

    def confirm(self, timeout_s: float) -> str:
        """The node's runtime no longer has it among the running ones."""
        wait_until(
            f"container {self.target}: {self._container.id} to be gone",
            self._running,
            lambda ids: self._container.id not in ids,
            timeout_s,
            interval_s=0.1,
        )
        return f"container {self._container.id[:12]} no longer runs"

    def heal(self) -> None:
        """Nothing to undo: the agent heals it."""

    def confirm_healed(self, timeout_s: float) -> str:
        """The same pod runs a new container of the same name."""
        ids = wait_until(
            f"container {self.target}: a new one in pod {self._container.pod_uid}",
            self._successors,
            lambda ids: len(ids) > 0,
            timeout_s,
        )
        return f"container {ids[0][:12]} runs in its place, in the same pod"

    def _running(self) -> tuple[str, ...]:
        return tuple(container.id for container in self._edge.containers())

    def _successors(self) -> tuple[str, ...]:
        killed = self._container
        return tuple(
            container.id
            for container in self._edge.containers()
            if container.pod_uid == killed.pod_uid
            and container.name == killed.name
            and container.id != killed.id
        )
