"""Autonomy on return: the cloud sees the truth, and what was changed meanwhile arrives."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest

from conformance.autonomy.episode import EPISODE_NEEDS, SECOND, Episode
from conformance.autonomy.objects import CREDENTIALS, FIRST, LAST, SETTINGS
from conformance.catalogue import requirement
from conformance.explain import explain
from fixtures.profile import Profile
from fixtures.target import Evidence

AGENT = "the agent's log on the node, then the cloud side's: was the change sent, and taken?"


def _settled(
    episode: Episode,
    names: Sequence[str],
    profile: Profile,
    evidence: Evidence,
    *,
    promised: str,
    look: str = AGENT,
) -> None:
    """All of these are as promised at the end of the watch, since a time within the bound."""
    bound_s = profile.autonomy.changes_after_heal_s
    late = []
    for name in names:
        seen = episode.returned[name]
        after_s = seen.kept_after_s
        shown = None if after_s is None else round(after_s, 1)
        evidence.value(f"{episode.edge} after the link was back: {name}", shown, "s")
        if after_s is None or after_s > bound_s:
            late.append(f"{name}: {seen.story()}")
    assert not late, explain(
        promised=f"within {bound_s:g} s after the link of {episode.edge} is back, {promised}",
        seen="; ".join(late),
        since=f"the link was healed, after {episode.cut_s:.0f} s",
        look=look,
    )


@requirement(
    id="AUT-007",
    level="MUST",
    family="autonomy",
    since="0.2",
    sentence="A readiness probe MUST go on while the cloud link is cut, so that on return the "
    "cloud sees a container as ready or not as it then is.",
    why="A server that became unready during the outage would be sent requests after it.",
    source="Kubernetes documentation: readiness probes",
)
@pytest.mark.disturbs
@pytest.mark.needs(*EPISODE_NEEDS)
def test_readiness_is_the_truth_after_the_cut(
    episode: Episode, profile: Profile, evidence: Evidence
) -> None:
    """Let a container become unready in the cut; look at what the cloud is told afterwards."""
    _settled(
        episode,
        ["readiness"],
        profile,
        evidence,
        promised="the cloud sees that a container became unready meanwhile",
    )


@requirement(
    id="AUT-013",
    level="MUST",
    family="autonomy",
    since="0.2",
    sentence="A new version of a Deployment that was rolled out while the cloud link was cut MUST "
    "replace the old one after the return, the last version and no other.",
    why="A roll-out does not wait for every site to be on line.",
    source="Kubernetes documentation: Deployments; kubeedge/kubeedge#3941",
)
@pytest.mark.disturbs
@pytest.mark.needs(*EPISODE_NEEDS)
def test_rollout_of_meanwhile_arrives(
    episode: Episode, profile: Profile, evidence: Evidence
) -> None:
    """Change a Deployment twice in the cut; the third generation alone runs in the end."""
    _settled(
        episode,
        ["rolled"],
        profile,
        evidence,
        promised="the last generation of a Deployment runs, alone and Ready",
    )


@requirement(
    id="AUT-014",
    level="MUST",
    family="autonomy",
    since="0.2",
    sentence="Replicas that were added to or taken from a Deployment while the cloud link was cut "
    "MUST be started or ended after the return.",
    why="A site that keeps old replicas wastes its accelerators; one without the new lacks them.",
    source="Kubernetes documentation: Deployments",
)
@pytest.mark.disturbs
@pytest.mark.needs(*EPISODE_NEEDS)
def test_scaling_of_meanwhile_arrives(
    episode: Episode, profile: Profile, evidence: Evidence
) -> None:
    """Scale one Deployment up and one down in the cut; count pods and containers afterwards."""
    _settled(
        episode,
        ["grown", "shrunk"],
        profile,
        evidence,
        promised="a Deployment that was scaled up has two pods and one that was scaled down has "
        "one, in the cloud as on the node",
    )


@requirement(
    id="AUT-015",
    level="MUST",
    family="autonomy",
    since="0.2",
    sentence="Pods that were deleted in the cloud while the cloud link was cut MUST end on the "
    "node and be gone in the cloud after the return.",
    why="A pod that nobody manages holds devices and ports, and answers with an old model.",
    source="kubeedge/kubeedge#3941, #4048",
)
@pytest.mark.disturbs
@pytest.mark.needs(*EPISODE_NEEDS)
def test_deletions_of_meanwhile_arrive(
    episode: Episode, profile: Profile, evidence: Evidence
) -> None:
    """Delete a Deployment in the cut, and let the cloud evict a pod; both are gone afterwards."""
    _settled(
        episode,
        ["removed", "doomed"],
        profile,
        evidence,
        promised="what was deleted meanwhile is gone, in the cloud as on the node",
    )


@requirement(
    id="AUT-016",
    level="MUST",
    family="autonomy",
    since="0.2",
    sentence="ConfigMaps and Secrets that were changed while the cloud link was cut MUST reach "
    "running pods after the return, in their last state and never an older one after a newer.",
    why="A site that works with yesterday's settings or a withdrawn key is wrong or unsafe.",
    source="Kubernetes documentation: mounted ConfigMaps are updated automatically",
)
@pytest.mark.disturbs
@pytest.mark.needs(*EPISODE_NEEDS)
def test_settings_of_meanwhile_arrive(
    episode: Episode, profile: Profile, evidence: Evidence
) -> None:
    """Change a ConfigMap and a Secret twice in the cut; read their files in a running pod."""
    order = (FIRST, SECOND, LAST)
    for name in (SETTINGS, CREDENTIALS):
        history = episode.returned[name].history
        known = [order.index(value) for value in history if value in order]
        assert known == sorted(known), explain(
            promised=f"the {name} of a running pod never become older",
            seen=episode.returned[name].story(),
            since="the link was healed",
            look=AGENT,
        )
    _settled(
        episode,
        [SETTINGS, CREDENTIALS],
        profile,
        evidence,
        promised="a running pod reads the last state of its ConfigMap and its Secret",
    )


@requirement(
    id="AUT-017",
    level="MUST",
    family="autonomy",
    since="0.2",
    sentence="What happened to pods while the cloud link was cut MUST be in their status after the "
    "return: restarts, phases, and who is ready.",
    why="Whoever looks at the fleet must see what happened, and not a picture from before.",
    source="kubeedge/kubeedge#4169",
)
@pytest.mark.disturbs
@pytest.mark.needs(*EPISODE_NEEDS)
def test_status_catches_up(episode: Episode, profile: Profile, evidence: Evidence) -> None:
    """Restart, crash and end containers in the cut; look at the pods' status afterwards."""
    _settled(
        episode,
        ["alive", "cached", "crashing", "finishing", "spilling"],
        profile,
        evidence,
        promised="the status of every pod tells what happened to it offline",
    )


@requirement(
    id="AUT-018",
    level="MUST",
    family="autonomy",
    since="0.2",
    sentence="A node that is Ready after its cloud link is back MUST stay Ready.",
    why="Every flap sets alarms off, and may start another eviction.",
    source="Kubernetes documentation: node status, node heartbeats",
)
@pytest.mark.disturbs
@pytest.mark.needs(*EPISODE_NEEDS)
def test_node_does_not_flap_after_the_cut(episode: Episode, evidence: Evidence) -> None:
    """Every change of the Ready condition after the healing, also one between two looks."""
    seen = episode.returned["node"]
    states = list(seen.history)
    since_ready = list(itertools.dropwhile(lambda state: "is True" not in state, states))
    evidence.value(f"{episode.edge} states of Ready after the link was back", states)
    assert len(since_ready) == 1, explain(
        promised=f"node {episode.edge} becomes Ready once, and stays so",
        seen=seen.story(),
        since=f"the link was healed, after {episode.cut_s:.0f} s",
        look="the agent's log on the node (reconnections), and who else writes the node's status",
    )
