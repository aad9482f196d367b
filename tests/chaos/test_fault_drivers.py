"""The fault drivers on real processes and sockets of this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.errors import TargetNotFound
from chaos.faults.agent import AgentKill
from chaos.faults.container import ContainerKill
from chaos.faults.fault import Fault, Limits, injected
from chaos.flapping import flap_plan, watch_cuts
from chaos.injector import EvidenceJournal, FaultInjector
from fixtures.profile import Flap, Thresholds
from fixtures.target import CapabilityMissing, Component, FaultNotConfirmed, LinkPhase, LinkPlan
from tests.chaos.local_node import LocalNode, local_node
from tests.loadtests.evidence import ListedEvidence

THRESHOLDS = Thresholds(
    node_ready_after_heal_s=10,
    container_restart_s=10,
    power_recovery_s=10,
    allocatable_update_s=10,
    max_outage_s=10,
    answered_within_slo_ratio=0.99,
    latency_slo_ms=250,
)


@pytest.fixture
def kept(tmp_path: Path) -> ListedEvidence:
    return ListedEvidence(tmp_path)


@pytest.fixture
def injector(kept: ListedEvidence) -> FaultInjector:
    return FaultInjector(kept, THRESHOLDS)


def test_cut_link_is_out_of_reach_and_comes_back(
    injector: FaultInjector, kept: ListedEvidence
) -> None:
    with local_node() as node:
        with injector.cut_link(node, 60.0) as fault:
            assert not node.link.cloud_reachable_from_node(1.0)
            assert "no TCP connection" in fault.record.confirmed_how
        assert node.link.cloud_reachable_from_node(1.0)
    [begin], [end] = kept.of_kind("fault-begin"), kept.of_kind("fault")
    assert begin["fault"] == end["fault"] == "link-cut"
    assert end["target"] == "local"
    assert end["plan"] == {"phases": [{"start_s": 0.0, "duration_s": 60.0}]}
    assert end["heal_confirmed_ns"] is not None


def test_link_that_cannot_be_cut_is_not_confirmed(kept: ListedEvidence) -> None:
    from chaos.faults.link import link_cut

    with local_node(link_works=False) as node:
        fault: Fault = link_cut(node, 60.0)
        with (
            pytest.raises(FaultNotConfirmed, match="link-cut on local was injected but not seen"),
            injected(fault, EvidenceJournal(kept), Limits(confirm_s=0.5, heal_s=5.0)),
        ):
            pytest.fail("the block must not run")
    [end] = kept.of_kind("fault")
    assert end["confirmed_ns"] is None


def test_every_cut_of_a_flapping_link_is_seen(injector: FaultInjector) -> None:
    plan = flap_plan(Flap(period_s=0.8, down_s=0.4, cycles=3))
    assert plan == LinkPlan((LinkPhase(0.0, 0.4), LinkPhase(0.8, 0.4), LinkPhase(1.6, 0.4)))
    with local_node() as node, injector.flap_link(node, plan) as fault:
        assert watch_cuts(node.link, plan) == 3
        fault.heal()
        assert fault.record.healed_ns is not None
        assert fault.record.injected_ns is not None
        # The link's own timer healed it at the end of its plan, not the call.
        assert fault.record.healed_ns - fault.record.injected_ns == 2_000_000_000


def test_power_comes_back_by_itself(injector: FaultInjector, kept: ListedEvidence) -> None:
    with local_node() as node, injector.cut_power(node, 0.5) as fault:
        assert fault.record.confirmed_how == "the node has no power"
    [end] = kept.of_kind("fault")
    assert "its agent runs (pid" in str(end["heal_confirmed_how"])


def test_killed_agent_is_another_process_afterwards(injector: FaultInjector) -> None:
    with local_node() as node:
        before = node.agent_pid()
        with injector.kill_agent(node) as fault:
            assert str(before) in fault.record.confirmed_how
        after = node.agent_pid()
        assert after is not None
        assert after != before


def test_killed_runtime_is_another_process_afterwards(injector: FaultInjector) -> None:
    with local_node() as node:
        before = node.component_pid(Component.RUNTIME)
        with injector.kill_component(node, Component.RUNTIME) as fault:
            assert str(before) in fault.record.confirmed_how
        assert fault.record.heal_confirmed_how.startswith("the container runtime runs again")
        assert node.component_pid(Component.RUNTIME) not in {None, before}
        with pytest.raises(CapabilityMissing, match="cannot restart the node's device plugin"):
            injector.kill_component(node, Component.DEVICE_PLUGIN)


def test_killed_container_has_a_successor_in_its_pod(injector: FaultInjector) -> None:
    with local_node() as node:
        [before] = node.containers()
        with injector.kill_container(node, before) as fault:
            assert before.id in fault.record.confirmed_how
            fault.heal()
            # For a kill the healing is what was observed, not what was asked for.
            assert fault.record.healed_ns == fault.record.heal_confirmed_ns
        [after] = node.containers()
        assert (after.id, after.pod_uid) == ("container-2", before.pod_uid)


def test_container_that_is_gone_already_cannot_be_killed(kept: ListedEvidence) -> None:
    with local_node() as node:
        [old] = node.containers()
        _kill_and_return(node)
        with (
            pytest.raises(TargetNotFound, match=f"{old.id} does not run"),
            injected(ContainerKill(node, old), EvidenceJournal(kept), Limits(1.0, 1.0)),
        ):
            pytest.fail("the block must not run")


def test_agent_that_is_not_restarted_is_not_healed(kept: ListedEvidence) -> None:
    with (
        local_node(restart_s=60.0) as node,
        pytest.raises(FaultNotConfirmed, match=r"a new process: not within 0\.5 s"),
        injected(AgentKill(node), EvidenceJournal(kept), Limits(5.0, 0.5)),
    ):
        pass


def test_node_without_the_capability_is_refused(injector: FaultInjector) -> None:
    with local_node() as node:
        node.capabilities = frozenset()
        with pytest.raises(CapabilityMissing, match="local: the deployment cannot cut the node's"):
            injector.cut_link(node, 1.0)


def _kill_and_return(node: LocalNode) -> None:
    [container] = node.containers()
    fault = ContainerKill(node, container)
    fault.arm_and_inject()
    fault.confirm(10.0)
    fault.confirm_healed(10.0)
