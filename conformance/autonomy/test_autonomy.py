"""Autonomy: inference goes on, restarts and comes back while the cloud is away."""

from __future__ import annotations

import time

import pytest

from conformance.autonomy.offline import (
    POWER_OFF_S,
    answering,
    brief,
    describe,
    offline,
    only_container,
    same_containers,
    steady,
)
from conformance.capabilities import first_edge
from conformance.catalogue import requirement
from conformance.comparison.figures import Figure, compare
from conformance.explain import explain
from conformance.inference import wait_for_right_answers
from conformance.observe import observe_until, observe_while
from conformance.pods import INFERENCE_SELECTOR, inference_containers
from fixtures.profile import Profile
from fixtures.target import (
    Capability,
    Cluster,
    Deployment,
    Evidence,
    FaultNotConfirmed,
    Faults,
    PodStatus,
    WaitTimeout,
    wait_until,
)

OFFLINE_S = 15.0
AGENT_BACK_S = 60.0
AGENT_SETTLES_S = 15.0
STAYS_SAME_S = 5.0


@requirement(
    id="AUT-001",
    level="MUST",
    family="autonomy",
    since="0.1",
    sentence="While the cloud link is cut, the inference server MUST answer every request of its "
    "site rightly.",
    why="The uplink is the least reliable part of a site; the shop floor cannot wait for it.",
    source="KubeEdge documentation: offline autonomy of edge nodes",
)
@pytest.mark.disturbs
@pytest.mark.needs(Capability.LINK)
def test_server_answers_while_link_is_cut(
    deployment: Deployment, faults: Faults, evidence: Evidence
) -> None:
    """Ask golden samples over the LAN for the whole of a cut; none may fail."""
    edge = first_edge(deployment, Capability.LINK)
    steady(deployment, edge)
    with offline(faults, edge, OFFLINE_S), answering(deployment, edge) as probe:
        report = probe.watch(OFFLINE_S)
    evidence.value(f"{edge.name} right answers offline", report.answered)
    evidence.value(f"{edge.name} failed requests offline", len(report.failures))
    evidence.value(f"{edge.name} slowest answer offline", round(report.slowest_s, 4), "s")
    asked = report.answered + len(report.failures)
    failed = f"{len(report.failures)} of {asked}"
    compare(evidence, Figure.OFFLINE_SERVING, "edge", edge, failed)
    assert not report.failures, explain(
        promised=f"{edge.name} goes on answering while its cloud link is cut",
        seen=report.describe_failures(),
        since="the link was cut; the server had answered rightly just before",
        look="the server's log on the node, and what it asks of the cloud while it answers "
        "(name service, image pull, token refresh)",
    )
    assert report.answered > 0, f"{edge.name}: the probe got no answer in {OFFLINE_S:g} s at all"


@requirement(
    id="AUT-002",
    level="MUST",
    family="autonomy",
    since="0.1",
    sentence="A container that is killed while the cloud link is cut MUST be started again by the "
    "node itself, and answer rightly in the time that the profile claims.",
    why="A crash during an outage must not take inference away until the cloud is back.",
    source="kubeedge/kubeedge#4441",
)
@pytest.mark.disturbs
@pytest.mark.needs(Capability.LINK, Capability.RUN_COMMAND, Capability.KILL_CONTAINER)
def test_killed_container_restarts_offline(
    deployment: Deployment, faults: Faults, profile: Profile, evidence: Evidence
) -> None:
    """Kill the server's container while offline and time the first right answers."""
    edge = first_edge(
        deployment, Capability.LINK, Capability.RUN_COMMAND, Capability.KILL_CONTAINER
    )
    bound_s = profile.thresholds.container_restart_s
    steady(deployment, edge)
    victim = only_container(inference_containers(deployment, edge))
    with offline(faults, edge, 2 * bound_s):
        try:
            with faults.kill_container(edge, victim):
                seconds = wait_for_right_answers(deployment, edge, bound_s)
        except (WaitTimeout, FaultNotConfirmed) as error:
            running = ", ".join(describe(one) for one in edge.containers()) or "none"
            pytest.fail(
                explain(
                    promised=f"{edge.name} restarts a killed container offline and answers "
                    f"rightly within {bound_s:g} s",
                    seen=f"{error}; containers on the node: {running}",
                    since=f"container {describe(victim)} was killed with the link cut",
                    look="the agent's log on the node (sync of the pod, back-off), then the "
                    "container runtime's",
                )
            )
        successors = [one for one in edge.containers() if one.pod_uid == victim.pod_uid]
    evidence.value(f"{edge.name} container restart offline", round(seconds, 2), "s")
    compare(evidence, Figure.OFFLINE_RESTART, "edge", edge, round(seconds, 1), "s")
    assert [one.id for one in successors if one.id != victim.id], explain(
        promised="the same pod runs a new container",
        seen=f"pod {victim.pod_name} runs {[describe(one) for one in successors]}",
        since=f"container {describe(victim)} was killed with the link cut",
        look="whether another pod took the port: crictl ps -a on the node",
    )


@requirement(
    id="AUT-003",
    level="MUST",
    family="autonomy",
    since="0.1",
    sentence="An agent that is killed and restarts while the cloud link is cut MUST leave running "
    "containers untouched, and no request may fail for it.",
    why="An agent's crash or update is no reason to stop a production line.",
    source="Kubernetes documentation: the kubelet keeps containers over its restart; "
    "kubeedge/kubeedge#3618",
)
@pytest.mark.disturbs
@pytest.mark.needs(Capability.LINK, Capability.RUN_COMMAND, Capability.RESTART_AGENT)
def test_agent_restart_offline_leaves_containers_untouched(
    deployment: Deployment, faults: Faults, evidence: Evidence
) -> None:
    """Kill the agent while offline; compare containers before and after, and count failures."""
    edge = first_edge(deployment, Capability.LINK, Capability.RUN_COMMAND, Capability.RESTART_AGENT)
    steady(deployment, edge)
    before = inference_containers(deployment, edge)
    promised = f"the containers of {edge.name} run on while its agent is killed and restarts"
    look = "the agent's log on the node: does it find its pods in its own store, offline?"
    with (
        offline(faults, edge, AGENT_BACK_S + AGENT_SETTLES_S),
        answering(deployment, edge) as probe,
    ):
        old = edge.agent_pid()
        try:
            with faults.kill_agent(edge):
                new = wait_until(
                    f"a new agent process on {edge.name}",
                    edge.agent_pid,
                    lambda pid: pid is not None and pid != old,
                    AGENT_BACK_S,
                )
        except (WaitTimeout, FaultNotConfirmed) as error:
            pytest.fail(
                explain(
                    promised=f"the agent of {edge.name} is started again by the node",
                    seen=str(error),
                    since=f"agent {old} was killed with the link cut",
                    look="the node's service manager and the agent's log",
                )
            )
        # A new agent looks at its pods within its first seconds: that is when it may do harm.
        settled = observe_while(
            lambda: (same_containers(before, edge.containers()), probe.report()),
            lambda seen: not seen[0] and not seen[1].failures,
            AGENT_SETTLES_S,
        )
    changes, _ = settled.value
    report = probe.report()
    evidence.value(f"{edge.name} agent pids", [old, new])
    evidence.value(f"{edge.name} failed requests over the agent's restart", len(report.failures))
    assert not changes, explain(
        promised=promised,
        seen="; ".join(changes),
        since=f"agent {old} was killed and {new} started, offline",
        look=look,
    )
    assert not report.failures, explain(
        promised=promised,
        seen=report.describe_failures(),
        since=f"agent {old} was killed and {new} started, offline",
        look=look,
    )


@requirement(
    id="AUT-004",
    level="MUST",
    family="autonomy",
    since="0.1",
    sentence="After a power cut and a boot with the cloud link cut, the inference server MUST come "
    "back by itself and answer rightly in the time that the profile claims.",
    why="Power and uplink often fail together, and nobody is there to help.",
    source="kubeedge/kubeedge#3618, #4210, #6414, #646",
)
@pytest.mark.disturbs
@pytest.mark.needs(Capability.LINK, Capability.RUN_COMMAND, Capability.POWER)
def test_power_cut_offline_brings_the_server_back(
    deployment: Deployment, faults: Faults, profile: Profile, evidence: Evidence
) -> None:
    """Cut the power with the link cut, and time the first right answers after the boot."""
    edge = first_edge(deployment, Capability.LINK, Capability.RUN_COMMAND, Capability.POWER)
    bound_s = profile.thresholds.power_recovery_s
    steady(deployment, edge)
    before = only_container(inference_containers(deployment, edge))
    with offline(faults, edge, POWER_OFF_S + 2 * bound_s):
        begun = time.monotonic()
        try:
            with faults.cut_power(edge, POWER_OFF_S):
                wait_for_right_answers(deployment, edge, POWER_OFF_S + bound_s)
                recovery_s = max(0.0, time.monotonic() - begun - POWER_OFF_S)
        except (WaitTimeout, FaultNotConfirmed) as error:
            pytest.fail(
                explain(
                    promised=f"{edge.name} answers rightly within {bound_s:g} s after its power "
                    "is back, without the cloud",
                    seen=f"{error}; power on: {edge.power.is_on()}",
                    since=f"its power was cut for {POWER_OFF_S:g} s with the link cut",
                    look="the node's boot: service manager, container runtime, then the agent's "
                    "log (does it restore its pods from its own store?)",
                )
            )
        after = edge.containers()
    evidence.value(f"{edge.name} power recovery offline", round(recovery_s, 2), "s")
    compare(evidence, Figure.OFFLINE_BOOT, "edge", edge, round(recovery_s, 1), "s")
    uids = sorted({one.pod_uid for one in after if one.pod_name == before.pod_name})
    assert uids == [before.pod_uid], explain(
        promised=f"the same pod {before.pod_name} (uid {before.pod_uid}) comes back",
        seen=f"containers of pods with uid {', '.join(uids) or 'none'}",
        since="the node booted with the link cut",
        look="the agent's own store on the node",
    )


@requirement(
    id="AUT-005",
    level="MUST",
    family="autonomy",
    since="0.1",
    sentence="When the cloud link is back, the node MUST become Ready in the time that the profile "
    "claims, with the same pods, none of them doubled or restarted.",
    why="A return that replaces healthy pods turns the end of an outage into another one.",
    source="kubeedge/kubeedge#3941, #4048, #2385, #4169",
)
@pytest.mark.disturbs
@pytest.mark.needs(Capability.LINK, Capability.RUN_COMMAND)
def test_link_back_finds_the_same_pods(
    deployment: Deployment, cluster: Cluster, faults: Faults, profile: Profile, evidence: Evidence
) -> None:
    """Cut the link until the cloud has given the node up, heal it, and compare the pods."""
    edge = first_edge(deployment, Capability.LINK, Capability.RUN_COMMAND)
    bound_s = profile.thresholds.node_ready_after_heal_s
    notices_s = profile.autonomy.cloud_notices_s
    steady(deployment, edge)
    before = cluster.pods(INFERENCE_SELECTOR)
    containers = inference_containers(deployment, edge)
    # A shorter cut proves little: the cloud must have noticed, for only then it may act wrongly.
    with offline(faults, edge, notices_s) as cut:
        unready = observe_until(
            lambda: cluster.node(edge.name).ready, lambda ready: not ready, notices_s
        )
        assert unready.accepted, explain(
            promised="the cloud notices that the node is away",
            seen=f"node {edge.name} is still Ready",
            since=f"its link was cut {unready.seconds:.0f} s ago",
            look="the controller manager's node lifecycle, and who still renews the node's lease",
        )
    evidence.value(f"{edge.name} NotReady after the cut", round(unready.seconds, 1), "s")
    compare(evidence, Figure.CLOUD_NOTICES, "edge", edge, round(unready.seconds, 1), "s")
    ready = observe_until(lambda: cluster.node(edge.name).ready, bool, bound_s)
    assert ready.accepted, explain(
        promised=f"node {edge.name} is Ready within {bound_s:g} s after its link is back",
        seen="it is NotReady",
        since=f"the link was healed {ready.seconds:.0f} s ago",
        look="the agent's log on the node (reconnection back-off), then the cloud side's",
    )
    healed_ns = cut.record.healed_ns or time.monotonic_ns()
    since_healed_s = (time.monotonic_ns() - healed_ns) / 1e9
    evidence.value(f"{edge.name} Ready after the link was back", round(since_healed_s, 2), "s")
    promised = f"the pods of {edge.name} are the same as before the cut: {brief(before)}"
    look = "kubectl get events: eviction by the cloud, or a pod made anew by its controller"
    # A pod that the cloud replaces cannot come back: that ends the wait at once.
    whole = observe_until(
        lambda: cluster.pods(INFERENCE_SELECTOR),
        lambda pods: not _same(before, pods) or all(pod.ready for pod in pods),
        bound_s,
    )
    kept = whole.accepted and _same(before, whole.value)
    assert kept, explain(
        promised=promised,
        seen=brief(whole.value),
        since=f"{whole.seconds:.0f} s after the node became Ready again",
        look=look,
    )
    stayed = observe_while(
        lambda: cluster.pods(INFERENCE_SELECTOR),
        lambda pods: _same(before, pods),
        STAYS_SAME_S,
    )
    assert stayed.accepted, explain(
        promised=promised,
        seen=brief(stayed.value),
        since=f"{stayed.seconds:.0f} s after all were Ready again",
        look=look,
    )
    # Restarts are read on the node: the cloud's count may be minutes late (kubeedge#4169).
    changes = same_containers(containers, edge.containers())
    assert not changes, explain(
        promised="the containers on the node were not restarted by the link's return",
        seen="; ".join(changes),
        since="the link was healed",
        look="the agent's log on the node",
    )


def _same(before: tuple[PodStatus, ...], after: tuple[PodStatus, ...]) -> bool:
    """Whether these are the same pods, each once, and none of them is about to end."""
    uids = sorted(pod.uid for pod in before) == sorted(pod.uid for pod in after)
    return uids and not any(pod.terminating for pod in after)
