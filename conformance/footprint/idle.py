"""What nodes use while nobody changes anything, read over one window on all nodes at once."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from conformance.footprint.components import agent_of
from fixtures.target import Capability, ComponentUsage, Deployment, EdgeNode, LinkTraffic

_NEEDED = frozenset({Capability.USAGE, Capability.LINK_TRAFFIC, Capability.KILL_CONTAINER})


@dataclass(frozen=True, slots=True)
class Reading:
    """A node at one moment of the monotonic clock; ``containers`` are those that run."""

    at_s: float
    usage: Mapping[str, ComponentUsage]
    traffic: LinkTraffic
    containers: frozenset[str]


@dataclass(frozen=True, slots=True)
class IdleWindow:
    """What one node used in a window in which its containers stayed the same."""

    node: str
    agent: str
    seconds: float
    agent_cpu_s: float
    received_bytes: int
    sent_bytes: int

    @property
    def cpu_ratio(self) -> float:
        """The agent's share of one core."""
        return self.agent_cpu_s / self.seconds

    @property
    def link_bytes_per_min(self) -> float:
        """Traffic of the cloud link, both directions."""
        return (self.received_bytes + self.sent_bytes) * 60.0 / self.seconds


class IdleWindows:
    """Measures all nodes of a deployment in one window when first asked, and remembers it."""

    def __init__(self) -> None:
        self._windows: dict[str, IdleWindow | str] = {}

    def of(self, deployment: Deployment, edge: EdgeNode, window_s: float) -> IdleWindow:
        """The node's window. Fails where the node was not idle in it."""
        if edge.name not in self._windows:
            self._measure(deployment, window_s)
        found = self._windows.get(edge.name)
        if found is None:
            pytest.skip(f"{edge.name}: no way to {' or to '.join(one.value for one in _NEEDED)}")
        if isinstance(found, str):
            pytest.fail(found)
        return found

    def _measure(self, deployment: Deployment, window_s: float) -> None:
        nodes = [
            node
            for node in (*deployment.edges.values(), *deployment.comparison.values())
            if node.capabilities >= _NEEDED
        ]
        before = {node.name: read(node) for node in nodes}
        # Not a wait for something: the window is what is measured.
        time.sleep(window_s)
        for node in nodes:
            self._windows[node.name] = _window(node, before[node.name], read(node))


def read(node: EdgeNode) -> Reading:
    """The node's counters now."""
    usage = {one.component: one for one in node.usage()}
    containers = frozenset(one.id for one in node.containers())
    traffic = node.link_traffic()
    return Reading(time.monotonic(), usage, traffic, containers)


def _window(node: EdgeNode, before: Reading, after: Reading) -> IdleWindow | str:
    agent = agent_of(node, after.usage)
    if before.containers != after.containers:
        return (
            f"{node.name} was not idle: {len(before.containers ^ after.containers)} containers "
            "came or went within the window; look at what else uses the node"
        )
    used_s = after.usage[agent].cpu_s - (before.usage[agent].cpu_s if agent in before.usage else 0)
    if used_s < 0:
        return f"{node.name} was not idle: {agent} was started anew within the window"
    return IdleWindow(
        node.name,
        agent,
        after.at_s - before.at_s,
        used_s,
        after.traffic.received_bytes - before.traffic.received_bytes,
        after.traffic.sent_bytes - before.traffic.sent_bytes,
    )
