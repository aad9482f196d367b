"""The fault of a power cut."""

from __future__ import annotations

from collections.abc import Mapping

from fixtures.target import EdgeNode, JsonValue, wait_until


class PowerCut:
    """The node loses its power at once; it comes back by itself after ``off_s`` seconds."""

    def __init__(self, edge: EdgeNode, off_s: float) -> None:
        self.name = "power-cut"
        self.target = edge.name
        self.plan: Mapping[str, JsonValue] = {"off_s": off_s}
        self.ends_after_s: float | None = off_s
        self._edge = edge
        self._power = edge.power
        self._off_s = off_s

    def arm_and_inject(self) -> None:
        """Arm the return of the power, then take it away."""
        self._power.cut(self._off_s)

    def confirm(self, timeout_s: float) -> str:
        """The node has no power."""
        wait_until(
            f"power of {self.target}: to be off",
            self._power.is_on,
            lambda is_on: not is_on,
            timeout_s,
        )
        return "the node has no power"

    def heal(self) -> None:
        """Give the power back now, if it is off."""
        if not self._power.is_on():
            self._power.restore()

    def confirm_healed(self, timeout_s: float) -> str:
        """The node has power and its agent runs."""
        pid = wait_until(
            f"power of {self.target}: the agent to run again",
            self._agent_pid,
            lambda pid: pid is not None,
            timeout_s,
        )
        return f"the node has power and its agent runs (pid {pid})"

    def _agent_pid(self) -> int | None:
        return self._edge.agent_pid() if self._power.is_on() else None
