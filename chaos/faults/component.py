"""The fault of a killed container runtime or device plugin."""

from __future__ import annotations

from collections.abc import Mapping

from chaos.errors import TargetNotFound
from fixtures.target import Component, EdgeNode, JsonValue, wait_until


class ComponentKill:
    """A component of the node gets SIGKILL; the node's service manager starts it again."""

    def __init__(self, edge: EdgeNode, component: Component) -> None:
        self.name = f"{component.value.replace(' ', '-')}-kill"
        self.target = edge.name
        self.plan: Mapping[str, JsonValue] = {"signal": "SIGKILL"}
        self.ends_after_s: float | None = None
        self._edge = edge
        self._component = component
        self._killed_pid: int | None = None

    def arm_and_inject(self) -> None:
        """Kill the process that runs now."""
        self._killed_pid = self._pid()
        if self._killed_pid is None:
            raise TargetNotFound(
                f"{self._component.value} of {self.target}: it does not run, nothing to kill"
            )
        self._edge.kill_component(self._component)

    def confirm(self, timeout_s: float) -> str:
        """The process is gone."""
        wait_until(
            f"{self._component.value} of {self.target}: process {self._killed_pid} to be gone",
            self._pid,
            lambda pid: pid != self._killed_pid,
            timeout_s,
            interval_s=0.05,
        )
        return f"the {self._component.value}'s process {self._killed_pid} is gone"

    def heal(self) -> None:
        """Nothing to undo: the service manager heals it."""

    def confirm_healed(self, timeout_s: float) -> str:
        """Another process has taken its place."""
        pid = wait_until(
            f"{self._component.value} of {self.target}: a new process",
            self._pid,
            lambda pid: pid is not None and pid != self._killed_pid,
            timeout_s,
        )
        return f"the {self._component.value} runs again (pid {pid})"

    def _pid(self) -> int | None:
        return self._edge.component_pid(self._component)
