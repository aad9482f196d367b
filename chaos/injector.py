"""The ``Faults`` of the target API, with each fault written to the evidence."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import asdict

from chaos.faults.agent import AgentKill
from chaos.faults.component import ComponentKill
from chaos.faults.container import ContainerKill
from chaos.faults.fault import Fault, Limits, injected
from chaos.faults.link import link_cut, link_flap
from chaos.faults.power import PowerCut
from fixtures.profile import Thresholds
from fixtures.target import (
    ActiveFault,
    Capability,
    CapabilityMissing,
    Component,
    ContainerInfo,
    EdgeNode,
    Evidence,
    FaultRecord,
    LinkPlan,
)

CONFIRM_S = 10.0
"""How long a fault may take until it is seen in force."""

LINK_HEAL_S = 30.0
"""How long a healed link may take until the node reaches the cloud again."""


class EvidenceJournal:
    """Writes faults to the evidence: ``fault-begin`` before, ``fault`` when it is over."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence

    def begun(self, record: FaultRecord) -> None:
        """A fault is about to be injected."""
        self._evidence.record("fault-begin", asdict(record))

    def over(self, record: FaultRecord) -> None:
        """A fault is over."""
        self._evidence.record("fault", asdict(record))


class FaultInjector:
    """Faults on the nodes of a deployment, for one test."""

    def __init__(self, evidence: Evidence, thresholds: Thresholds) -> None:
        self._journal = EvidenceJournal(evidence)
        self._thresholds = thresholds

    def cut_link(self, edge: EdgeNode, duration_s: float) -> AbstractContextManager[ActiveFault]:
        """Drop everything between the node and the cloud, silently and both ways."""
        _need(edge, Capability.LINK)
        return self._inject(link_cut(edge, duration_s), LINK_HEAL_S)

    def flap_link(self, edge: EdgeNode, plan: LinkPlan) -> AbstractContextManager[ActiveFault]:
        """Cut and heal the link again and again, as the plan says."""
        _need(edge, Capability.LINK)
        return self._inject(link_flap(edge, plan), LINK_HEAL_S)

    def cut_power(self, edge: EdgeNode, off_s: float) -> AbstractContextManager[ActiveFault]:
        """Take the node's power away for ``off_s`` seconds."""
        _need(edge, Capability.POWER)
        return self._inject(PowerCut(edge, off_s), self._thresholds.power_recovery_s)

    def kill_agent(self, edge: EdgeNode) -> AbstractContextManager[ActiveFault]:
        """SIGKILL the agent."""
        _need(edge, Capability.RESTART_AGENT)
        return self._inject(AgentKill(edge), self._thresholds.power_recovery_s)

    def kill_component(
        self, edge: EdgeNode, component: Component
    ) -> AbstractContextManager[ActiveFault]:
        """SIGKILL the container runtime or the device plugin."""
        _need(edge, component.capability)
        return self._inject(ComponentKill(edge, component), self._thresholds.container_restart_s)

    def kill_container(
        self, edge: EdgeNode, container: ContainerInfo
    ) -> AbstractContextManager[ActiveFault]:
        """SIGKILL a container."""
        _need(edge, Capability.KILL_CONTAINER)
        return self._inject(ContainerKill(edge, container), self._thresholds.container_restart_s)

    def _inject(self, fault: Fault, heal_s: float) -> AbstractContextManager[ActiveFault]:
        return injected(fault, self._journal, Limits(confirm_s=CONFIRM_S, heal_s=heal_s))


def _need(edge: EdgeNode, capability: Capability) -> None:
    if capability not in edge.capabilities:
        raise CapabilityMissing(f"{edge.name}: the deployment cannot {capability.value}")
