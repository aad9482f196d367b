"""Faults of the cloud link: a plain cut, and a link that flaps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fixtures.target import EdgeNode, JsonValue, LinkPhase, LinkPlan, wait_until

_REACH_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class _Seen:
    """One look at a link."""

    cut: bool
    reachable: bool
    dropped_packets: int


class LinkFault:
    """The link drops everything, both ways, in the phases of a plan; its own timer heals it."""

    def __init__(self, edge: EdgeNode, link_plan: LinkPlan, name: str = "link-cut") -> None:
        self.name = name
        self.target = edge.name
        self.plan: Mapping[str, JsonValue] = {
            "phases": [
                {"start_s": phase.start_s, "duration_s": phase.duration_s}
                for phase in link_plan.phases
            ]
        }
        self.ends_after_s: float | None = link_plan.total_s
        self._link = edge.link
        self._plan = link_plan

    def arm_and_inject(self) -> None:
        """Hand the plan to the link, which arms its healing before it cuts."""
        self._link.inject(self._plan)

    def confirm(self, timeout_s: float) -> str:
        """The node cannot reach the cloud, and the link itself says that it drops packets."""
        seen = wait_until(
            f"link of {self.target}: the cloud to be out of reach",
            self._look,
            lambda seen: not seen.reachable and (seen.cut or seen.dropped_packets > 0),
            timeout_s,
        )
        return (
            "no TCP connection from the node to the cloud; "
            f"{seen.dropped_packets} packets dropped on the link"
        )

    def heal(self) -> None:
        """Undo every cut and disarm the timer."""
        self._link.heal()

    def confirm_healed(self, timeout_s: float) -> str:
        """The link drops nothing, and the node reaches the cloud."""
        wait_until(
            f"link of {self.target}: the cloud to be in reach",
            self._look,
            lambda seen: seen.reachable and not seen.cut,
            timeout_s,
        )
        return "TCP connection from the node to the cloud; nothing is dropped on the link"

    def _look(self) -> _Seen:
        cut = self._link.is_cut()
        reachable = self._link.cloud_reachable_from_node(_REACH_TIMEOUT_S)
        return _Seen(cut, reachable, self._link.dropped_packets() if cut else 0)


def link_cut(edge: EdgeNode, duration_s: float) -> LinkFault:
    """One cut, from the injection on."""
    return LinkFault(edge, LinkPlan((LinkPhase(0.0, duration_s),)))


def link_flap(edge: EdgeNode, plan: LinkPlan) -> LinkFault:
    """A link that is cut and healed again and again."""
    return LinkFault(edge, plan, name="link-flap")
