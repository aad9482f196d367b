"""Which of a node's processes are its agent, and which its container runtime."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pytest

from fixtures.profile import Footprint, Profile
from fixtures.target import (
    Capability,
    ComponentUsage,
    Deployment,
    EdgeNode,
    ProcessMemory,
)

AGENTS = ("edgecore", "k3s", "kubelet")
# K3s has a containerd of its own within its process group, under the same names.
RUNTIME = ("containerd", "containerd-shim")


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident and proportional size of the node's own software, in bytes."""

    agent: str
    agent_rss_bytes: int
    agent_pss_bytes: int
    runtime_rss_bytes: int
    runtime_pss_bytes: int

    @property
    def rss_bytes(self) -> int:
        """Agent and runtime together."""
        return self.agent_rss_bytes + self.runtime_rss_bytes


def memory_of(edge: EdgeNode) -> Memory:
    """The memory of agent and runtime now; fails where the node runs no known agent."""
    found = edge.memory()
    agent = agent_of(edge, (one.component for one in found))
    agents = _of(found, (agent,))
    runtime = _of(found, RUNTIME)
    return Memory(
        agent,
        sum(one.rss_bytes for one in agents),
        sum(one.pss_bytes for one in agents),
        sum(one.rss_bytes for one in runtime),
        sum(one.pss_bytes for one in runtime),
    )


def agent_of(edge: EdgeNode, components: Iterable[str]) -> str:
    """The node's agent among its components."""
    running = set(components)
    agent = next((one for one in AGENTS if one in running), None)
    if agent is None:
        pytest.fail(
            f"{edge.name} runs none of the agents that are known ({', '.join(AGENTS)}); "
            f"found: {', '.join(sorted(running)) or 'nothing'}"
        )
    return agent


def binaries_of(usage: Sequence[ComponentUsage], agent: str) -> dict[str, int]:
    """Sizes of the executables of agent and runtime, by component."""
    return {one.component: one.binary_bytes for one in usage if one.component in {agent, *RUNTIME}}


def claimed(profile: Profile) -> Footprint:
    """What the profile claims of the footprint; a profile without claims is a skip."""
    if profile.footprint is None:
        pytest.skip(f"profile {profile.name} claims no footprint (its section footprint)")
    return profile.footprint


def lightest_edge(deployment: Deployment, *needed: Capability) -> EdgeNode:
    """The first able edge node, one without an accelerator if there is one.

    Its software is the agent and the runtime alone, and its pods wait for no device.
    """
    able = deployment.edges_with(*needed)
    if not able:
        wanted = " and to ".join(capability.value for capability in needed)
        pytest.skip(f"{deployment.name}: no edge node for which there is a way to {wanted}")
    return next((edge for edge in able if edge.accelerator is None), able[0])


def _of(found: Sequence[ProcessMemory], names: tuple[str, ...]) -> list[ProcessMemory]:
    return [one for one in found if one.component in names]
