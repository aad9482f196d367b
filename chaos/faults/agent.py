"""The fault of a killed agent."""

from __future__ import annotations

from collections.abc import Mapping

from chaos.errors import TargetNotFound
from fixtures.target import EdgeNode, JsonValue, wait_until


class AgentKill:
    """The node's agent gets SIGKILL; the node's service manager starts it again."""

    def __init__(self, edge: EdgeNode) -> None:
        self.name = "agent-kill"
        self.target = edge.name
        self.plan: Mapping[str, JsonValue] = {"signal": "SIGKILL"}
        self.ends_after_s: float | None = None
        self._edge = edge
        self._killed_pid: int | None = None

    def arm_and_inject(self) -> None:
        """Kill the agent that runs now."""
        self._killed_pid = self._edge.agent_pid()
        if self._killed_pid is None:
            raise TargetNotFound(f"agent of {self.target}: it does not run, nothing to kill")
        self._edge.kill_agent()

    def confirm(self, timeout_s: float) -> str:
        """The process is gone."""
        wait_until(
            f"agent of {self.target}: process {self._killed_pid} to be gone",
            self._edge.agent_pid,
            lambda pid: pid != self._killed_pid,
            timeout_s,
            interval_s=0.05,
        )
        return f"the agent's process {self._killed_pid} is gone"

    def heal(self) -> None:
        """Nothing to undo: the service manager heals it."""

    def confirm_healed(self, timeout_s: float) -> str:
        """Another process is the agent now."""
        pid = wait_until(
            f"agent of {self.target}: a new process",
            self._edge.agent_pid,
            lambda pid: pid is not None and pid != self._killed_pid,
            timeout_s,
        )
        return f"the agent runs again (pid {pid})"
