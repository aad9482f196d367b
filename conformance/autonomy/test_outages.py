"""Autonomy through harder outages: power lost while offline, and a whole fleet cut off at once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest
from kubernetes import client

from conformance.autonomy.objects import CREDENTIALS, FIRST, KEPT_FOLDER, SETTINGS, VALUE, Objects
from conformance.autonomy.offline import POWER_OFF_S, describe, offline, steady
from conformance.capabilities import first_edge
from conformance.catalogue import requirement
from conformance.errors import ConformanceError
from conformance.explain import explain
from conformance.observe import observe_until
from conformance.workloads import created, wait_ready
from fixtures.profile import Profile
from fixtures.target import (
    Capability,
    Cluster,
    ContainerInfo,
    Deployment,
    EdgeNode,
    Evidence,
    FaultNotConfirmed,
    Faults,
    FixtureError,
    WaitTimeout,
    wait_until,
)

POD_READY_S = 90.0


@requirement(
    id="AUT-008",
    level="MUST",
    family="autonomy",
    since="0.2",
    sentence="After a power cut and a boot with the cloud link cut, a pod MUST come back with its "
    "ConfigMaps, its Secrets and what it kept in a hostPath volume, in the time that the profile "
    "claims.",
    why="A server without its configuration or its key is as good as one that did not come back.",
    source="kubeedge/kubeedge#3618, #4210, #6414",
)
@pytest.mark.disturbs
@pytest.mark.needs(
    Capability.LINK, Capability.RUN_COMMAND, Capability.POWER, Capability.EXEC_IN_POD
)
def test_volumes_come_back_after_an_offline_power_cut(
    deployment: Deployment,
    cluster: Cluster,
    faults: Faults,
    namespace: str,
    profile: Profile,
    evidence: Evidence,
) -> None:
    """Cut power with the link cut; read all files of a pod in the container that comes back."""
    edge = first_edge(
        deployment,
        Capability.LINK,
        Capability.RUN_COMMAND,
        Capability.POWER,
        Capability.EXEC_IN_POD,
    )
    bound_s = profile.thresholds.power_recovery_s
    kept = f"/kept/{namespace}"
    wanted = {f"/{SETTINGS}/{VALUE}": FIRST, f"/{CREDENTIALS}/{VALUE}": FIRST, kept: namespace}
    with (
        _keeping_pod(cluster, edge, namespace, kept) as first,
        offline(faults, edge, POWER_OFF_S + 2 * bound_s),
    ):
        begun_s = time.monotonic()
        try:
            with faults.cut_power(edge, POWER_OFF_S):
                # The files are there before the container that has them as its volumes.
                second = wait_until(
                    f"a new container of pod {first.pod_name} on {edge.name}",
                    lambda: _container(edge, namespace),
                    lambda found: found is not None and found.id != first.id,
                    POWER_OFF_S + bound_s,
                    interval_s=1.0,
                    # A node without power, or one that boots, tells nothing.
                    expected=(FixtureError,),
                )
                recovery_s = time.monotonic() - begun_s - POWER_OFF_S
        except (WaitTimeout, FaultNotConfirmed) as error:
            pytest.fail(
                explain(
                    promised=f"pod {first.pod_name} of {edge.name} runs again within "
                    f"{bound_s:g} s after the power is back, without the cloud",
                    seen=str(error),
                    since=f"its power was cut for {POWER_OFF_S:g} s with the link cut",
                    look="the agent's log on the node: MountVolume.SetUp, configmaps, secrets",
                )
            )
        read = {file: _read(edge, second, file) for file in wanted}
    evidence.value(f"{edge.name} pod with volumes back offline", round(recovery_s, 1), "s")
    assert read == wanted, explain(
        promised=f"the pod comes back with its files: {wanted}",
        seen=str(read),
        since="the node booted with the link cut",
        look="the agent's own store (configmaps, secrets), and the node's disk for the hostPath",
    )


@requirement(
    id="AUT-019",
    level="MUST",
    family="autonomy",
    since="0.2",
    sentence="When all edge nodes were cut off and their links come back at once, every node MUST "
    "become Ready in the time that the profile claims.",
    why="A provider's outage ends for all sites in the same second.",
    source="KubeEdge documentation: CloudHub; kubeedge/kubeedge#4169",
)
@pytest.mark.disturbs
@pytest.mark.needs(Capability.LINK)
def test_all_nodes_return_together(
    deployment: Deployment, cluster: Cluster, faults: Faults, profile: Profile, evidence: Evidence
) -> None:
    """Cut all links until the cloud has given every node up, heal them at once, and time Ready."""
    edges = deployment.edges_with(Capability.LINK)
    bound_s = profile.thresholds.node_ready_after_heal_s
    notices_s = profile.autonomy.cloud_notices_s
    for edge in edges:
        steady(deployment, edge)

    def ready() -> dict[str, bool]:
        return {edge.name: cluster.node(edge.name).ready for edge in edges}

    with ExitStack() as links:
        cuts = [links.enter_context(faults.cut_link(edge, 2 * notices_s)) for edge in edges]
        lost = observe_until(ready, lambda states: not any(states.values()), notices_s)
        assert lost.accepted, explain(
            promised="the cloud notices that all nodes are away",
            seen=f"Ready is {lost.value}",
            since=f"their links were cut {lost.seconds:.0f} s ago",
            look="the controller manager's node lifecycle",
        )
        whole = [edge.name for edge in edges if not edge.link.is_cut()]
        assert not whole, f"the links of {', '.join(whole)} did not stay cut to the end"
        with ThreadPoolExecutor(len(cuts)) as pool:
            list(pool.map(lambda cut: cut.heal(), cuts))
    begun_s = max(cut.record.healed_ns or time.monotonic_ns() for cut in cuts) / 1e9
    after_s: dict[str, float] = {}

    def note(states: dict[str, bool]) -> bool:
        now_s = time.monotonic() - begun_s
        for name, state in states.items():
            if state:
                after_s.setdefault(name, round(now_s, 1))
        return all(states.values())

    back = observe_until(ready, note, bound_s)
    evidence.value("Ready after all links were back", after_s, "s")
    assert back.accepted, explain(
        promised=f"all nodes are Ready within {bound_s:g} s after their links are back",
        seen=f"Ready is {back.value}",
        since=f"the links were healed {back.seconds:.0f} s ago",
        look="the cloud side's log (connections refused or throttled), then each agent's",
    )


@contextmanager
def _keeping_pod(
    cluster: Cluster, edge: EdgeNode, namespace: str, kept: str
) -> Iterator[ContainerInfo]:
    """A pod with a ConfigMap, a Secret and a file on the node's disk; gives its container."""
    objects = Objects(cluster, edge, namespace)
    pod = objects.reader(
        client.V1Volume(
            name="kept", host_path=client.V1HostPathVolumeSource(path=KEPT_FOLDER, type="Directory")
        )
    )
    with (
        created(cluster, objects.settings()),
        created(cluster, objects.credentials()),
        created(cluster, pod),
    ):
        wait_ready(cluster, namespace, "reader", POD_READY_S)
        first = _container(edge, namespace)
        if first is None:
            raise ConformanceError(f"{edge.name}: pod reader is Ready, but no container runs")
        _shell(edge, first, f"echo {namespace} >{kept}")
        try:
            yield first
        finally:
            last = wait_until(
                f"pod reader on {edge.name}, which is to remove {KEPT_FOLDER}/{namespace}",
                lambda: _container(edge, namespace),
                lambda found: found is not None,
                POD_READY_S,
                expected=(FixtureError,),
            )
            if last is not None:
                _shell(edge, last, f"rm -f {kept} || busybox rm -f {kept}")


def _container(edge: EdgeNode, namespace: str) -> ContainerInfo | None:
    found = [one for one in edge.containers() if one.pod_namespace == namespace]
    return found[0] if found else None


def _read(edge: EdgeNode, container: ContainerInfo | None, file: str) -> str:
    if container is None:
        return "no container runs"
    done = edge.exec_in_container(container, ["cat", file])
    return done.stdout.strip() if done.exit_code == 0 else f"exit {done.exit_code}: {done.stderr}"


def _shell(edge: EdgeNode, container: ContainerInfo, script: str) -> None:
    done = edge.exec_in_container(container, ["sh", "-c", script])
    if done.exit_code != 0:
        raise ConformanceError(f"{describe(container)}: {script}: {done.stderr.strip()}")
