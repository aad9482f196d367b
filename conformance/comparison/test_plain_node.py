"""An ordinary Kubernetes node beside an edge node: expected to differ, measured, not judged.

These tests show no requirement. They fail only where a measurement could not be made; what was
measured goes side by side into the report.
"""

from __future__ import annotations

import time

import pytest

from conformance.autonomy.offline import answering, offline, only_container, steady
from conformance.comparison.figures import Figure, Side, compare
from conformance.comparison.observations import (
    after_killed_container,
    after_power_cut,
    given_up,
    hasty_pod,
)
from conformance.footprint.components import binaries_of, claimed, lightest_edge, memory_of
from conformance.footprint.idle import IdleWindows
from conformance.footprint.pod_changes import traffic_of_pod_changes
from conformance.inference import wait_for_right_answers
from conformance.observe import observe_until
from fixtures.profile import Footprint, Profile
from fixtures.target import Capability, Cluster, Deployment, EdgeNode, Evidence, Faults

FOOTPRINT = (Capability.MEMORY, Capability.DISK, Capability.USAGE, Capability.LINK_TRAFFIC)
OFFLINE = (
    Capability.LINK,
    Capability.POWER,
    Capability.RUN_COMMAND,
    Capability.KILL_CONTAINER,
    Capability.RESTART_AGENT,
)
SERVES_S = 10.0
RESTART_WATCH_S = 30.0
POWER_OFF_S = 3.0
BOOT_WATCH_S = 20.0
# Kubernetes' own default is 50 s until a silent node is called NotReady.
NOT_READY_S = 90.0
# Taints that evict are put on at most once in ten seconds.
EVICTION_S = 25.0
MOST_OFFLINE_S = 240.0
BACK_S = 120.0

pytestmark = pytest.mark.disturbs


def plain_node(deployment: Deployment, *needed: Capability) -> EdgeNode:
    """The first node for comparison that is able; none is a skip that says what was missing."""
    for node in deployment.comparison.values():
        if set(needed) <= node.capabilities:
            return node
    wanted = " and to ".join(capability.value for capability in needed)
    pytest.skip(f"{deployment.name}: no node for comparison for which there is a way to {wanted}")


def test_footprint_beside_plain_kubernetes(
    deployment: Deployment,
    cluster: Cluster,
    profile: Profile,
    idle_windows: IdleWindows,
    evidence: Evidence,
) -> None:
    """Memory, disk, CPU and traffic of both sides, at idle in the same window."""
    claims = claimed(profile)
    plain = plain_node(deployment, *FOOTPRINT)
    edge = lightest_edge(deployment, *FOOTPRINT)
    for side, node in _sides(edge, plain):
        _measure(deployment, cluster, node, side, claims, idle_windows, evidence)


def test_plain_node_offline(
    deployment: Deployment, cluster: Cluster, faults: Faults, evidence: Evidence
) -> None:
    """The plain node without the cloud: serving, a crash, a power cut, and the link's return."""
    node = plain_node(deployment, *OFFLINE)
    steady(deployment, node)
    uids = {pod.uid for pod in cluster.pods(node=node.name)}
    server = only_container(tuple(one for one in node.containers() if one.pod_uid in uids))
    with hasty_pod(cluster, node) as hasty:
        with offline(faults, node, MOST_OFFLINE_S) as cut:
            begun = time.monotonic()
            with answering(deployment, node) as probe:
                report = probe.watch(SERVES_S)
            compare(
                evidence,
                Figure.OFFLINE_SERVING,
                "plain",
                node,
                f"{len(report.failures)} of {report.answered + len(report.failures)}",
            )
            restart = after_killed_container(deployment, node, faults, server, RESTART_WATCH_S)
            compare(evidence, Figure.OFFLINE_RESTART, "plain", node, str(restart))
            boot = after_power_cut(deployment, node, faults, POWER_OFF_S, BOOT_WATCH_S)
            compare(evidence, Figure.OFFLINE_BOOT, "plain", node, str(boot))
            unready = observe_until(
                lambda: cluster.node(node.name).ready, lambda ready: not ready, NOT_READY_S
            )
            noticed_s = round(time.monotonic() - begun, 1) if unready.accepted else None
            compare(evidence, Figure.CLOUD_NOTICES, "plain", node, noticed_s, "s")
            evicted = observe_until(lambda: given_up(cluster, hasty), bool, EVICTION_S)
            evicted_s = round(time.monotonic() - begun, 1) if evicted.accepted else None
            compare(evidence, Figure.EVICTION, "plain", node, evicted_s, "s")
        wait_for_right_answers(deployment, node, BACK_S)
        healed_ns = cut.record.healed_ns
        assert healed_ns is not None, "the link of the plain node has no record of its healing"
        back_s = (time.monotonic_ns() - healed_ns) / 1e9
        compare(evidence, Figure.BACK, "plain", node, round(back_s, 1), "s")


def _sides(edge: EdgeNode, plain: EdgeNode) -> tuple[tuple[Side, EdgeNode], ...]:
    return (("edge", edge), ("plain", plain))


def _measure(
    deployment: Deployment,
    cluster: Cluster,
    node: EdgeNode,
    side: Side,
    claims: Footprint,
    idle_windows: IdleWindows,
    evidence: Evidence,
) -> None:
    """All figures of one side."""

    def record(figure: Figure, value: int | float | str, unit: str | None = None) -> None:
        compare(evidence, figure, side, node, value, unit)

    window = idle_windows.of(deployment, node, claims.window_s)
    memory = memory_of(node)
    binaries = binaries_of(node.usage(), memory.agent)
    stores = node.datastores()
    change = traffic_of_pod_changes(cluster, node, window.link_bytes_per_min, claims.cycle_pods)
    record(Figure.AGENT, memory.agent)
    record(Figure.AGENT_RSS, memory.agent_rss_bytes, "bytes")
    record(Figure.AGENT_PSS, memory.agent_pss_bytes, "bytes")
    record(Figure.RUNTIME_RSS, memory.runtime_rss_bytes, "bytes")
    record(Figure.AGENT_BINARY, binaries[memory.agent], "bytes")
    others = sum(size for name, size in binaries.items() if name != memory.agent)
    record(Figure.RUNTIME_BINARIES, others, "bytes")
    record(Figure.DISK, node.disk_used_bytes(), "bytes")
    record(Figure.AGENT_CPU, round(100 * window.cpu_ratio, 2), "%")
    record(Figure.LINK_IDLE, round(window.link_bytes_per_min), "bytes/min")
    record(Figure.LINK_POD_CHANGE, round(change), "bytes")
    record(Figure.DATASTORE, ", ".join(store.kind for store in stores) or "none")
    record(Figure.DATASTORE_SIZE, sum(store.size_bytes for store in stores), "bytes")
    assert memory.agent_rss_bytes > 0, f"{node.name}: no memory of its agent was measured"
    assert window.seconds > 0, f"{node.name}: no window at idle was measured"
