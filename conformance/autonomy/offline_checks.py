"""What the node promises while its link is cut, one small look each."""

from __future__ import annotations

from collections.abc import Mapping

from conformance.autonomy.offline import describe
from conformance.autonomy.scene import Scene, Snapshot
from conformance.autonomy.watching import Check, Look

STARTS = 4
"""So many starts of the crashing container show two pauses that can be compared."""


def during(scene: Scene, before: Snapshot) -> Mapping[str, Check[Snapshot]]:
    """The promises of the time without the cloud, by the names of the workloads."""
    return {
        "alive": lambda taken: _started_anew("alive", before, taken),
        "cached": lambda taken: _started_anew("cached", before, taken),
        "crashing": lambda taken: _starts(scene, taken),
        "spilling": _stopped,
        "doomed": _marked,
    }


def _started_anew(app: str, before: Snapshot, taken: Snapshot) -> Look:
    old, new = before.container(app), taken.container(app)
    if new is None:
        return Look(False, "no container runs")
    return Look(old is not None and new.id != old.id, f"{describe(new)} runs")


def _starts(scene: Scene, taken: Snapshot) -> Look:
    count = len(scene.starts_s(taken))
    return Look(count >= STARTS, f"{count} starts")


def _stopped(taken: Snapshot) -> Look:
    running = taken.container("spilling")
    return Look(running is None, "it runs" if running is not None else "it was stopped")


def _marked(taken: Snapshot) -> Look:
    pods = taken.pods_of("doomed")
    marked = all(pod.terminating for pod in pods)
    state = "marked for deletion" if marked else "not marked for deletion"
    return Look(marked, f"the pod is {state} in the cloud, the node's Ready is {taken.node}")
