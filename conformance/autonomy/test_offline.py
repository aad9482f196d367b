"""Autonomy while the link is cut: probes, crashes, images, the node's own API, its disk."""

from __future__ import annotations

import itertools

import pytest
from kubernetes import client

from conformance.autonomy.episode import EPISODE_NEEDS, Episode
from conformance.autonomy.objects import FIRST, SPILL_LIMIT, VALUE
from conformance.autonomy.watching import Seen
from conformance.catalogue import requirement
from conformance.explain import explain
from conformance.pods import INFERENCE_SELECTOR
from conformance.workloads import REQUEST_TIMEOUT_S
from fixtures.profile import Profile
from fixtures.target import Cluster, Evidence

SPILL_NOTICED_S = 90.0
"""The kubelet measures the disk of containers once a minute at worst."""

GROWTH = 1.4
"""Pauses double; a busy node starts a container some seconds late."""


def _in_time(seen: Seen, bound_s: float) -> bool:
    return seen.kept_after_s is not None and seen.kept_after_s <= bound_s


def _seconds(seen: Seen) -> float | None:
    return None if seen.kept_after_s is None else round(seen.kept_after_s, 1)


@requirement(
    id="AUT-006",
    level="MUST",
    family="autonomy",
    since="0.2",
    sentence="While the cloud link is cut, a container whose liveness probe fails MUST be started "
    "anew by the node itself, in the time that the profile claims.",
    why="A server that hangs during an outage would hang until somebody comes by.",
    source="Kubernetes documentation: liveness probes; kubeedge/kubeedge#4441",
)
@pytest.mark.disturbs
@pytest.mark.needs(*EPISODE_NEEDS)
def test_failed_liveness_probe_restarts_offline(
    episode: Episode, profile: Profile, evidence: Evidence
) -> None:
    """Let a container fail its liveness probe in the cut; time the container that follows it."""
    bound_s = profile.thresholds.container_restart_s
    seen = episode.meanwhile["alive"]
    evidence.value(f"{episode.edge} restart after failed liveness probe", _seconds(seen), "s")
    assert _in_time(seen, bound_s), explain(
        promised=f"{episode.edge} starts a container anew within {bound_s:g} s after its liveness "
        "probe fails, without the cloud",
        seen=f"{seen.story()} (started anew after {_seconds(seen)} s)",
        since="the link was cut and the container made to fail its probe",
        look="the agent's log on the node (prober), then the container runtime's",
    )


@requirement(
    id="AUT-009",
    level="MUST",
    family="autonomy",
    since="0.2",
    sentence="Where the profile claims an API on the node, it MUST answer reads of the node's own "
    "pods, and of objects that were read there before, while the cloud link is cut.",
    why="Applications on the node find their configuration and their neighbours through it.",
    source="KubeEdge documentation: MetaServer, edge Kube-API endpoint",
)
@pytest.mark.disturbs
@pytest.mark.needs(*EPISODE_NEEDS)
def test_local_api_answers_reads_offline(
    profile: Profile, evidence: Evidence, request: pytest.FixtureRequest
) -> None:
    """Read a pod and a ConfigMap from the node itself at the end of the cut."""
    address = profile.autonomy.local_api
    if address is None:
        pytest.skip(f"profile {profile.name} claims no API on the node (autonomy.localApi)")
    episode: Episode = request.getfixturevalue("episode")
    pod, settings = episode.local
    evidence.value(f"{episode.edge} answers of the local API", [pod.status, settings.status])
    look = f"who listens on {address} of the node, and the agent's log and store there"
    since = f"the link had been cut for {episode.cut_s:.0f} s"
    assert (pod.status, pod.value("metadata", "name")) == (200, "cached"), explain(
        promised=f"the API at {address} of {episode.edge} knows the node's pods offline",
        seen=str(pod),
        since=since,
        look=look,
    )
    assert (settings.status, settings.value("data", VALUE)) == (200, FIRST), explain(
        promised=f"the API at {address} of {episode.edge} gives a ConfigMap that was read before "
        "as it was before the cut",
        seen=str(settings),
        since=since,
        look=look,
    )


@requirement(
    id="AUT-010",
    level="MUST",
    family="autonomy",
    since="0.2",
    sentence="While the cloud link is cut, a container whose image is on the node and whose pull "
    "policy is IfNotPresent MUST be started from that image, without the registry.",
    why="The registry is behind the link: whoever asks it for every start cannot start at all.",
    source="Kubernetes documentation: image pull policy",
)
@pytest.mark.disturbs
@pytest.mark.needs(*EPISODE_NEEDS)
def test_cached_image_suffices_offline(
    episode: Episode, profile: Profile, evidence: Evidence
) -> None:
    """Kill a small container in the cut; time the one that follows from the same image."""
    bound_s = profile.thresholds.container_restart_s
    seen = episode.meanwhile["cached"]
    evidence.value(f"{episode.edge} restart from the cached image", _seconds(seen), "s")
    assert _in_time(seen, bound_s), explain(
        promised=f"{episode.edge} starts a killed container from the image it has, within "
        f"{bound_s:g} s",
        seen=f"{seen.story()} (started anew after {_seconds(seen)} s)",
        since="the link was cut and the container killed",
        look="the images on the node (crictl images), and the agent's log for ErrImagePull",
    )


@requirement(
    id="AUT-011",
    level="SHOULD",
    family="autonomy",
    since="0.2",
    sentence="A claimed inference workload SHOULD use the image pull policy IfNotPresent or Never.",
    why="Always is a trap: a container that crashes offline then waits for the registry.",
    source="Kubernetes documentation: image pull policy (Always is the default of tag latest)",
)
def test_inference_workloads_do_not_always_pull(cluster: Cluster, evidence: Evidence) -> None:
    """Look at the pull policy of every container of the inference pods."""
    core = client.CoreV1Api(cluster.api_client)
    pods = core.list_namespaced_pod(
        cluster.namespace, label_selector=INFERENCE_SELECTOR, _request_timeout=REQUEST_TIMEOUT_S
    ).items
    found = {
        f"{pod.metadata.name}/{one.name}": str(one.image_pull_policy)
        for pod in pods
        if pod.metadata is not None and pod.spec is not None
        for one in (*(pod.spec.init_containers or ()), *pod.spec.containers)
    }
    evidence.value("image pull policies", found)
    assert found, f"no pod with the label {INFERENCE_SELECTOR} in namespace {cluster.namespace}"
    trapped = [name for name, policy in found.items() if policy == "Always"]
    assert not trapped, explain(
        promised="the inference server's containers can be started without the registry",
        seen=f"imagePullPolicy Always: {', '.join(trapped)}",
        since="now",
        look="the workload's manifest: set imagePullPolicy, or a tag other than latest",
    )


@requirement(
    id="AUT-012",
    level="MUST",
    family="autonomy",
    since="0.2",
    sentence="A pod that the cloud has marked for deletion because its node is away MUST run on at "
    "the edge until the cloud link is back.",
    why="The cloud cannot know: the site behind a dead link is usually well and at work.",
    source="Kubernetes documentation: taint based evictions; kubeedge/kubeedge#3941, #4048",
)
@pytest.mark.disturbs
@pytest.mark.needs(*EPISODE_NEEDS)
def test_nothing_is_evicted_at_the_edge(episode: Episode, evidence: Evidence) -> None:
    """Stay away until the cloud deletes an impatient pod; see that it runs on untouched."""
    marked = episode.meanwhile["doomed"]
    evidence.value(f"{episode.edge} pod marked for deletion by the cloud", _seconds(marked), "s")
    promised = f"what runs on {episode.edge} runs on, whatever the cloud believes"
    assert marked.kept, explain(
        promised=f"{promised}; first the cloud must come to believe that the node is lost",
        seen=marked.story(),
        since=f"the link was cut {episode.cut_s:.0f} s ago; the pod tolerates 1 s of that",
        look="the controller manager's node lifecycle and taint eviction",
    )
    assert not episode.doomed, explain(
        promised=promised,
        seen=f"the pod that the cloud has marked for deletion: {episode.doomed}",
        since=f"the link was cut {episode.cut_s:.0f} s ago",
        look="the agent's log on the node: who told it to end the pod?",
    )


@requirement(
    id="AUT-020",
    level="MUST",
    family="autonomy",
    since="0.2",
    sentence="A container that crashes again and again while the cloud link is cut MUST be started "
    "again after pauses that grow.",
    why="A busy loop of starts takes the node's processor from the workloads that are well.",
    source="Kubernetes documentation: container restart policy (exponential back-off)",
)
@pytest.mark.disturbs
@pytest.mark.needs(*EPISODE_NEEDS)
def test_crash_loop_backs_off_offline(episode: Episode, evidence: Evidence) -> None:
    """Let a container crash at once whenever it starts; compare the pauses between starts."""
    # The first start was in peace, and the one after the first crash comes without a pause.
    starts = episode.crash_starts_s[1:]
    pauses = [round(later - earlier, 1) for earlier, later in itertools.pairwise(starts)]
    evidence.value(f"{episode.edge} pauses of a crash loop offline", pauses, "s")
    pairs = list(itertools.pairwise(pauses))
    grows = bool(pairs) and all(later >= GROWTH * earlier for earlier, later in pairs)
    assert grows, explain(
        promised=f"{episode.edge} starts a crashing container after pauses that grow",
        seen=f"{len(starts)} starts after crashes, with pauses of {pauses} s between them",
        since=f"the link was cut {episode.cut_s:.0f} s ago and the container crashed",
        look="the agent's log on the node (CrashLoopBackOff); does the agent itself restart?",
    )


@requirement(
    id="AUT-021",
    level="MUST",
    family="autonomy",
    since="0.2",
    sentence="A container that fills more of the node's disk than its limit MUST be stopped by the "
    "node itself while the cloud link is cut.",
    why="A full disk stops every workload of the node, and nobody can log in to clean up.",
    source="Kubernetes documentation: local ephemeral storage, node-pressure eviction",
)
@pytest.mark.disturbs
@pytest.mark.needs(*EPISODE_NEEDS)
def test_disk_hog_is_stopped_offline(episode: Episode, evidence: Evidence) -> None:
    """Let a container write four times its limit of ephemeral storage in the cut."""
    seen = episode.meanwhile["spilling"]
    evidence.value(f"{episode.edge} disk hog stopped", _seconds(seen), "s")
    assert _in_time(seen, SPILL_NOTICED_S), explain(
        promised=f"{episode.edge} stops a container that writes more than its limit of "
        f"{SPILL_LIMIT}, within {SPILL_NOTICED_S:g} s",
        seen=f"{seen.story()} (stopped after {_seconds(seen)} s)",
        since="the link was cut and the container wrote 64 MiB",
        look="the agent's eviction manager: does it measure containers' disk on this node?",
    )
