"""A flapping link: its plan, and watching that every cut of it happens."""

from __future__ import annotations

from fixtures.profile import Flap
from fixtures.target import Link, LinkPhase, LinkPlan, wait_until

_SLACK_S = 5.0


def flap_plan(flap: Flap) -> LinkPlan:
    """``cycles`` cuts of ``down_s`` seconds, one in each ``period_s``."""
    return LinkPlan(
        tuple(LinkPhase(cycle * flap.period_s, flap.down_s) for cycle in range(flap.cycles))
    )


def watch_cuts(link: Link, plan: LinkPlan) -> int:
    """Wait through a plan that has just begun and see each cut begin and end; gives their number.

    Raises:
        WaitTimeout: a cut did not begin or end when it should have; the message says which.
    """
    previous_end_s = 0.0
    for number, phase in enumerate(plan.phases, start=1):
        which = f"link of {link.node}: cut {number} of {len(plan.phases)}"
        gap_s = phase.start_s - previous_end_s
        _await(f"{which} to begin", link, True, gap_s + _SLACK_S)
        _await(f"{which} to end", link, False, phase.duration_s + _SLACK_S)
        previous_end_s = phase.start_s + phase.duration_s
    return len(plan.phases)


def _await(what: str, link: Link, cut: bool, timeout_s: float) -> None:
    wait_until(what, link.is_cut, lambda is_cut: is_cut is cut, timeout_s, interval_s=0.1)
