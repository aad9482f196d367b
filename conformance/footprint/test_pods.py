"""Footprint: what pods add to the node's own software and to the link, and leave behind."""

from __future__ import annotations

import time

import pytest

from conformance.catalogue import requirement
from conformance.explain import explain
from conformance.footprint.components import claimed, lightest_edge, memory_of
from conformance.footprint.crowd import crowd
from conformance.footprint.idle import IdleWindows
from conformance.footprint.pod_changes import traffic_of_pod_changes
from conformance.footprint.traces import traces
from conformance.observe import observe_until
from fixtures.profile import Profile
from fixtures.target import Capability, Cluster, Deployment, Evidence

SETTLES_S = 30.0


@requirement(
    id="FPT-003",
    level="MUST",
    family="footprint",
    since="0.2",
    sentence="What agent and container runtime grow by with each small pod MUST be within what "
    "the profile claims.",
    why="A device is sized for the pods that it is to carry, and not for an empty agent.",
    source="The paper's table of edge agents, at 1, 10 and 50 pods",
)
@pytest.mark.disturbs
@pytest.mark.needs(Capability.MEMORY)
def test_growth_per_pod_is_within_the_claim(
    deployment: Deployment, cluster: Cluster, profile: Profile, evidence: Evidence
) -> None:
    """Start small pods on one node, and read memory at each number that the profile names."""
    claims = claimed(profile)
    edge = lightest_edge(deployment, Capability.MEMORY)
    with crowd(cluster, edge) as pods:
        empty = memory_of(edge)
        evidence.value(f"{edge.name} agent and runtime, no small pod", empty.rss_bytes, "bytes")
        growth = 0.0
        for count in sorted(claims.pods):
            seconds = pods.grow_to(count)
            full = memory_of(edge)
            growth = (full.rss_bytes - empty.rss_bytes) / count
            evidence.value(f"{edge.name} agent RSS, {count} pods", full.agent_rss_bytes, "bytes")
            evidence.value(
                f"{edge.name} runtime RSS, {count} pods", full.runtime_rss_bytes, "bytes"
            )
            evidence.value(f"{edge.name} growth per pod, {count} pods", round(growth), "bytes")
            evidence.value(f"{edge.name} until {count} pods were Ready", round(seconds, 1), "s")
    assert growth <= claims.pod_growth_bytes, explain(
        promised=f"agent and runtime of {edge.name} grow by at most {claims.pod_growth_bytes} "
        "bytes of resident memory with each small pod",
        seen=f"{growth:.0f} bytes each, with {max(claims.pods)} pods",
        since=f"they had {empty.rss_bytes} bytes without these pods",
        look="the shims (one per pod), and what the agent keeps per pod",
    )


@requirement(
    id="FPT-008",
    level="MUST",
    family="footprint",
    since="0.2",
    sentence="The traffic that one pod's coming or going causes on the cloud link MUST be within "
    "what the profile claims, its image being on the node.",
    why="An update of a fleet multiplies it by pods and sites, over links paid by the megabyte.",
    source="KubeEdge documentation: edge-cloud messaging; the paper's table of edge agents",
)
@pytest.mark.disturbs
@pytest.mark.needs(Capability.USAGE, Capability.LINK_TRAFFIC, Capability.MEMORY)
def test_link_traffic_per_pod_change_is_within_the_claim(
    deployment: Deployment,
    cluster: Cluster,
    profile: Profile,
    idle_windows: IdleWindows,
    evidence: Evidence,
) -> None:
    """Start and delete pods, and take from the link's counters what an idle node has as well."""
    claims = claimed(profile)
    edge = lightest_edge(deployment, Capability.USAGE, Capability.LINK_TRAFFIC)
    idle = idle_windows.of(deployment, edge, claims.window_s)
    each = traffic_of_pod_changes(cluster, edge, idle.link_bytes_per_min, claims.cycle_pods)
    evidence.value(f"{edge.name} link per pod change", round(each), "bytes")
    assert each <= claims.pod_change_link_bytes, explain(
        promised=f"a pod that comes or goes costs the cloud link of {edge.name} at most "
        f"{claims.pod_change_link_bytes} bytes",
        seen=f"{each:.0f} bytes, beyond the {idle.link_bytes_per_min:.0f} a minute at idle",
        since=f"{claims.cycle_pods} pods were started and deleted, their image on the node",
        look="what the agent reports per pod (status, events), and whether the image was pulled",
    )


@requirement(
    id="FPT-010",
    level="MUST",
    family="footprint",
    since="0.2",
    sentence="After pods have come and gone again and again, the memory of agent and container "
    "runtime MUST be back within the margin that the profile claims.",
    why="A device runs for years: what leaks with each update ends in a reboot at the worst time.",
    source="Kubernetes documentation: garbage collection on nodes; operators' reports of leaking "
    "shims",
)
@pytest.mark.disturbs
@pytest.mark.needs(Capability.MEMORY)
def test_memory_comes_back_after_pods_come_and_go(
    deployment: Deployment, cluster: Cluster, profile: Profile, evidence: Evidence
) -> None:
    """Start and delete the same number of pods again and again; compare memory."""
    claims = claimed(profile)
    edge = lightest_edge(deployment, Capability.MEMORY)
    with crowd(cluster, edge) as pods:
        # The first round fills caches and pools that later ones use again.
        pods.grow_to(claims.cycle_pods)
        pods.clear()
        before = memory_of(edge).rss_bytes
        begun = time.monotonic()
        for _ in range(claims.cycles):
            pods.grow_to(claims.cycle_pods)
            pods.clear()
        seconds = time.monotonic() - begun
    after = observe_until(
        lambda: memory_of(edge).rss_bytes,
        lambda now: now - before <= claims.leak_bytes,
        SETTLES_S,
        interval_s=1.0,
    )
    rounds = f"{claims.cycles} rounds of {claims.cycle_pods} pods"
    evidence.value(f"{edge.name} memory before {rounds}", before, "bytes")
    evidence.value(f"{edge.name} memory after {rounds}", after.value, "bytes")
    evidence.value(f"{edge.name} {rounds}", round(seconds, 1), "s")
    assert after.accepted, explain(
        promised=f"after {rounds}, agent and runtime of {edge.name} have at most "
        f"{claims.leak_bytes} bytes more than before",
        seen=f"{after.value - before} bytes more: {after.value}, before {before}",
        since=f"the last pod was gone {after.seconds:.0f} s ago",
        look="shims without a pod (ps), then what the agent keeps of pods that are gone",
    )


@requirement(
    id="FPT-011",
    level="MUST",
    family="footprint",
    since="0.2",
    sentence="A pod that is gone MUST leave no shim process, mount or network interface on its "
    "node.",
    why="Each remnant is small, and in a year of updates they fill the kernel's tables.",
    source="Kubernetes documentation: Pod lifecycle, termination; Container Runtime Interface",
)
@pytest.mark.disturbs
@pytest.mark.needs(Capability.RUN_COMMAND)
def test_pods_that_are_gone_leave_nothing(
    deployment: Deployment, cluster: Cluster, profile: Profile, evidence: Evidence
) -> None:
    """Count what is there before pods come, and after they are gone."""
    claims = claimed(profile)
    edge = lightest_edge(deployment, Capability.RUN_COMMAND)
    with crowd(cluster, edge) as pods:
        before = traces(edge)
        pods.grow_to(claims.cycle_pods)
        during = traces(edge)
        pods.clear()
    assert during.shims >= before.shims + claims.cycle_pods, (
        f"{edge.name}: {claims.cycle_pods} pods added only {during.shims - before.shims} shims, "
        "so their going would prove nothing; look at the container runtime's shims"
    )
    after = observe_until(
        lambda: traces(edge), lambda now: not now.beyond(before), SETTLES_S, interval_s=0.5
    )
    evidence.value(f"{edge.name} until no trace was left", round(after.seconds, 1), "s")
    assert after.accepted, explain(
        promised=f"{claims.cycle_pods} pods that are gone leave nothing on {edge.name}",
        seen=after.value.beyond(before),
        since=f"the last of them was gone {after.seconds:.0f} s ago",
        look="ps, /proc/mounts and ip link on the node; the container runtime's log",
    )
