"""What the cloud and the node promise each other once the link is back, one small look each."""

from __future__ import annotations

from collections.abc import Mapping

from conformance.autonomy.objects import CREDENTIALS, LAST, SETTINGS, VALUE
from conformance.autonomy.pod_view import ContainerView
from conformance.autonomy.scene import Scene, Snapshot
from conformance.autonomy.watching import Check, Look

LAST_GENERATION = "3"


def afterwards(scene: Scene) -> Mapping[str, Check[Snapshot]]:
    """The promises of the return, by name."""
    return {
        "node": _node,
        "readiness": _readiness,
        "alive": _restarted("alive"),
        "cached": _restarted("cached"),
        "crashing": _crash_count,
        "finishing": _phase("finishing", "Succeeded"),
        "spilling": _phase("spilling", "Failed"),
        "doomed": _gone("doomed"),
        "removed": _gone("removed"),
        "rolled": _rolled,
        "grown": _count("grown", 2),
        "shrunk": _count("shrunk", 1),
        SETTINGS: _file(scene, SETTINGS),
        CREDENTIALS: _file(scene, CREDENTIALS),
    }


def _node(taken: Snapshot) -> Look:
    """Its history shows every change of the Ready condition, also one between two looks."""
    return Look(taken.node == "True", f"Ready is {taken.node} since {taken.node_since}")


def _reported(app: str, taken: Snapshot, container: str = "probe") -> ContainerView | None:
    pod = taken.pod(app)
    return None if pod is None else pod.containers.get(container)


def _readiness(taken: Snapshot) -> Look:
    # The pod's own Ready condition proves nothing: the cloud sets it to False for a lost node.
    status = _reported("ready", taken)
    if status is None:
        return Look(False, "no status")
    # A node that is back says so of all its pods, and this one's container must not be ready.
    back = taken.node == "True"
    return Look(back and not status.ready, f"container ready is {status.ready}")


def _restarted(app: str) -> Check[Snapshot]:
    def check(taken: Snapshot) -> Look:
        pod, status = taken.pod(app), _reported(app, taken)
        if pod is None or status is None:
            return Look(False, "no status")
        seen = f"ready {pod.ready}, {status.restarts} restarts"
        return Look(pod.ready and status.restarts >= 1, seen)

    return check


def _crash_count(taken: Snapshot) -> Look:
    status = _reported("crashing", taken)
    count = 0 if status is None else status.restarts
    return Look(count >= 2, f"{count} restarts")


def _phase(app: str, wanted: str) -> Check[Snapshot]:
    def check(taken: Snapshot) -> Look:
        pod = taken.pod(app)
        if pod is None:
            return Look(False, "no pod")
        reason = f" ({pod.reason})" if pod.reason else ""
        return Look(pod.phase == wanted, f"phase {pod.phase}{reason}")

    return check


def _gone(app: str) -> Check[Snapshot]:
    def check(taken: Snapshot) -> Look:
        pods, running = len(taken.pods_of(app)), len(taken.containers_of(app))
        return Look(
            not pods and not running, f"{pods} pods in the cloud, {running} containers on the node"
        )

    return check


def _count(app: str, wanted: int) -> Check[Snapshot]:
    def check(taken: Snapshot) -> Look:
        pods = taken.pods_of(app)
        ready = sum(pod.ready for pod in pods)
        running = len(taken.containers_of(app))
        return Look(
            len(pods) == ready == running == wanted,
            f"{len(pods)} pods in the cloud, {ready} of them Ready, {running} containers on the "
            "node",
        )

    return check


def _rolled(taken: Snapshot) -> Look:
    pods = taken.pods_of("rolled")
    names = {pod.name: pod.generation for pod in pods}
    running = [one.pod_name for one in taken.containers_of("rolled")]
    generations = sorted(names.get(name, "of a pod that is gone") for name in running)
    done = list(names.values()) == generations == [LAST_GENERATION]
    done = done and all(pod.ready for pod in pods)
    return Look(
        done,
        f"on the node generations {', '.join(generations) or 'none'}, in the cloud "
        f"{', '.join(sorted(names.values())) or 'none'}",
    )


def _file(scene: Scene, name: str) -> Check[Snapshot]:
    def check(taken: Snapshot) -> Look:
        said = scene.read(taken.container("reader"), f"/{name}/{VALUE}")
        return Look(said == LAST, said)

    return check
