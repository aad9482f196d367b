"""The offline episode: one cut in which much happens on both sides, and what came of it all.

The cut is the dear part, so that several requirements look at one episode. Nothing is judged
here: the episode is plain data, and each test says what it makes of it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from kubernetes import client

from conformance.autonomy.local_api import LocalAnswer, ask
from conformance.autonomy.objects import CREDENTIALS, GENERATION, LAST, SETTINGS, VALUE
from conformance.autonomy.offline import describe, offline
from conformance.autonomy.offline_checks import during
from conformance.autonomy.return_checks import afterwards
from conformance.autonomy.scene import Scene, Snapshot, prepared
from conformance.autonomy.watching import Seen, watch
from fixtures.profile import Profile
from fixtures.target import Capability, Cluster, EdgeNode, Faults

EPISODE_NEEDS = (
    Capability.LINK,
    Capability.RUN_COMMAND,
    Capability.EXEC_IN_POD,
    Capability.KILL_CONTAINER,
)
"""What a node must allow, for the episode to be played on it."""

STAYS_READY_S = 15.0
"""For how long the node is watched at least, once it is back."""

SECOND = "second"


@dataclass(frozen=True, slots=True)
class Episode:
    """What was seen during the cut and after it; times are seconds from the cut or the healing.

    ``doomed`` says what became, on the node and before the link was back, of the pod that the
    cloud had marked for deletion: nothing when it ran on untouched.
    """

    edge: str
    cut_s: float
    before: Snapshot
    at_the_end: Snapshot
    meanwhile: Mapping[str, Seen]
    doomed: str
    crash_starts_s: tuple[float, ...]
    local: tuple[LocalAnswer, ...]
    returned: Mapping[str, Seen]


def play(cluster: Cluster, edge: EdgeNode, faults: Faults, profile: Profile) -> Episode:
    """Prepare the scene, cut, let things happen on both sides, watch, heal, watch again."""
    wanted = profile.autonomy
    limit_s = max(wanted.offline_s, wanted.cloud_notices_s)
    with prepared(cluster, edge) as scene:
        before = scene.snapshot()
        paths = _paths(scene)
        if wanted.local_api is not None:
            # The node's API keeps what somebody on the node has read: so somebody has.
            for path in paths:
                ask(edge, wanted.local_api, path)
        with offline(faults, edge, limit_s) as cut:
            begun_s = time.monotonic()
            _on_the_node(scene, before)
            _in_the_cloud(scene)
            meanwhile = watch(
                scene.snapshot,
                during(scene, before),
                begun_s=begun_s,
                at_least_s=wanted.offline_s,
                at_most_s=limit_s,
            )
            starts_s = scene.starts_s(scene.snapshot())
            local = (
                tuple(ask(edge, wanted.local_api, path) for path in paths)
                if wanted.local_api is not None
                else ()
            )
            at_the_end = scene.snapshot()
            cut_s = time.monotonic() - begun_s
        healed_ns = cut.record.healed_ns or time.monotonic_ns()
        returned = watch(
            scene.snapshot,
            afterwards(scene),
            begun_s=healed_ns / 1e9,
            at_least_s=STAYS_READY_S,
            at_most_s=max(STAYS_READY_S, wanted.changes_after_heal_s),
        )
    return Episode(
        edge=edge.name,
        cut_s=cut_s,
        before=before,
        at_the_end=at_the_end,
        meanwhile=meanwhile,
        doomed=_became(before, at_the_end),
        crash_starts_s=starts_s,
        local=local,
        returned=returned,
    )


def _paths(scene: Scene) -> tuple[str, ...]:
    base = f"/api/v1/namespaces/{scene.namespace}"
    return (f"{base}/pods/cached", f"{base}/configmaps/{SETTINGS}")


def _on_the_node(scene: Scene, before: Snapshot) -> None:
    """What happens at the site while the cloud is away."""
    scene.tell(before, "alive", "/work/alive", "no")
    scene.tell(before, "ready", "/work/ready", "no")
    scene.tell(before, "crashing", "/work/crash", "yes")
    scene.tell(before, "finishing", "/work/finish", "yes")
    scene.tell(before, "spilling", "/work/spill", "yes")
    victim = before.container("cached")
    if victim is not None:
        scene.edge.kill_container(victim)


def _in_the_cloud(scene: Scene) -> None:
    """What people do in the cloud while the site is away, one after the other."""
    space = scene.namespace
    for value in (SECOND, LAST):
        scene.core.patch_namespaced_config_map(SETTINGS, space, {"data": {VALUE: value}})
        scene.core.patch_namespaced_secret(CREDENTIALS, space, {"stringData": {VALUE: value}})
    for generation in ("2", "3"):
        change = {"name": "probe", "env": [{"name": GENERATION, "value": generation}]}
        template = {"spec": {"containers": [change]}}
        scene.apps.patch_namespaced_deployment("rolled", space, {"spec": {"template": template}})
    for app, replicas in (("grown", 2), ("shrunk", 1)):
        scene.apps.patch_namespaced_deployment(app, space, {"spec": {"replicas": replicas}})
    scene.apps.delete_namespaced_deployment(
        "removed", space, body=client.V1DeleteOptions(propagation_policy="Background")
    )


def _became(before: Snapshot, after: Snapshot) -> str:
    old, new = before.container("doomed"), after.container("doomed")
    if old is None or new is None:
        return f"its container is {'gone' if old is not None else 'one that never ran'}"
    if (old.id, old.started_ns) != (new.id, new.started_ns):
        return f"{describe(old)} was replaced by {describe(new)}"
    return ""
