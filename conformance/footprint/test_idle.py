"""Footprint: what the node's own software takes while nothing happens."""

from __future__ import annotations

import pytest

from conformance.capabilities import require
from conformance.catalogue import requirement
from conformance.explain import explain
from conformance.footprint.components import agent_of, binaries_of, claimed, memory_of
from conformance.footprint.idle import IdleWindows
from fixtures.profile import Profile
from fixtures.target import Capability, Deployment, EdgeNode, Evidence

PAPER = "The paper's table of edge agents: 50 to 100 MB for a light one"


@requirement(
    id="FPT-001",
    level="MUST",
    family="footprint",
    since="0.2",
    sentence="The resident memory of the agent at idle MUST be within what the profile claims.",
    why="On a device with little memory every megabyte of the agent is one that no model has.",
    source=PAPER,
)
@pytest.mark.needs(Capability.MEMORY)
def test_agent_memory_is_within_the_claim(
    edge: EdgeNode, profile: Profile, evidence: Evidence
) -> None:
    """Read RSS and PSS of the agent's processes."""
    limit = claimed(profile).agent_rss_bytes
    require(edge, Capability.MEMORY)
    memory = memory_of(edge)
    evidence.value(f"{edge.name} {memory.agent} RSS", memory.agent_rss_bytes, "bytes")
    evidence.value(f"{edge.name} {memory.agent} PSS", memory.agent_pss_bytes, "bytes")
    assert memory.agent_rss_bytes <= limit, explain(
        promised=f"the agent of {edge.name} has at most {limit} bytes of resident memory",
        seen=f"{memory.agent} has {memory.agent_rss_bytes} (proportional: "
        f"{memory.agent_pss_bytes})",
        since="the test looked, with the pods of the deployment running",
        look="which modules the agent runs, how many pods and objects it holds, and its Go "
        "runtime's limits (GOMEMLIMIT, GOGC)",
    )


@requirement(
    id="FPT-002",
    level="MUST",
    family="footprint",
    since="0.2",
    sentence="The resident memory of the container runtime, with a shim for each pod, MUST be "
    "within what the profile claims.",
    why="The runtime and its shims often take more than the agent that is advertised.",
    source="The paper's table of edge agents, which leaves the runtime out",
)
@pytest.mark.needs(Capability.MEMORY)
def test_runtime_memory_is_within_the_claim(
    edge: EdgeNode, profile: Profile, evidence: Evidence
) -> None:
    """Read RSS and PSS of the runtime and of its shims."""
    limit = claimed(profile).runtime_rss_bytes
    require(edge, Capability.MEMORY)
    memory = memory_of(edge)
    evidence.value(f"{edge.name} runtime RSS", memory.runtime_rss_bytes, "bytes")
    evidence.value(f"{edge.name} runtime PSS", memory.runtime_pss_bytes, "bytes")
    assert memory.runtime_rss_bytes > 0, f"{edge.name}: no process of a container runtime was found"
    assert memory.runtime_rss_bytes <= limit, explain(
        promised=f"the container runtime of {edge.name} has at most {limit} bytes of resident "
        "memory, shims included",
        seen=f"it has {memory.runtime_rss_bytes} (proportional: {memory.runtime_pss_bytes})",
        since="the test looked, with the pods of the deployment running",
        look="how many shims run (ps), and whether each of them still has a pod",
    )


@requirement(
    id="FPT-004",
    level="MUST",
    family="footprint",
    since="0.2",
    sentence="The disk that images, containers and the agent's data take MUST be within what the "
    "profile claims.",
    why="A full disk stops image pulls, logs and at last the node; a device's flash is small.",
    source="The paper's table of edge agents",
)
@pytest.mark.needs(Capability.DISK)
def test_disk_is_within_the_claim(edge: EdgeNode, profile: Profile, evidence: Evidence) -> None:
    """Sum the folders of the runtime and of the agent."""
    limit = claimed(profile).disk_bytes
    require(edge, Capability.DISK)
    used = edge.disk_used_bytes()
    evidence.value(f"{edge.name} disk used", used, "bytes")
    assert used <= limit, explain(
        promised=f"images, containers and agent of {edge.name} take at most {limit} bytes of disk",
        seen=f"they take {used}",
        since="the test looked",
        look="images that nothing uses (crictl images), and the agent's data folder",
    )


@requirement(
    id="FPT-005",
    level="MUST",
    family="footprint",
    since="0.2",
    sentence="The executables of agent and container runtime MUST together be no larger than the "
    "profile claims.",
    why="They are what an update of the node's software sends over the link to every site.",
    source="The paper's table of edge agents: binary size",
)
@pytest.mark.needs(Capability.USAGE)
def test_binaries_are_within_the_claim(
    edge: EdgeNode, profile: Profile, evidence: Evidence
) -> None:
    """Read the size of the file that each of the processes runs."""
    limit = claimed(profile).binaries_bytes
    require(edge, Capability.USAGE)
    usage = edge.usage()
    sizes = binaries_of(usage, agent_of(edge, (one.component for one in usage)))
    for component, size in sizes.items():
        evidence.value(f"{edge.name} executable of {component}", size, "bytes")
    total = sum(sizes.values())
    assert total <= limit, explain(
        promised=f"agent and runtime of {edge.name} are executables of at most {limit} bytes",
        seen=f"they have {total}: {sizes}",
        since="the test looked",
        look="whether they are stripped (go build -ldflags '-s -w'), and what is built into them",
    )


@requirement(
    id="FPT-006",
    level="MUST",
    family="footprint",
    since="0.2",
    sentence="The agent at idle MUST NOT use more of a processor core than the profile claims.",
    why="What an idle agent burns is power and heat, and jitter of every inference.",
    source="The paper's table of edge agents",
)
# It changes nothing, but what others do at the same time would be measured with it.
@pytest.mark.disturbs
@pytest.mark.needs(Capability.USAGE, Capability.LINK_TRAFFIC)
def test_agent_cpu_at_idle_is_within_the_claim(
    deployment: Deployment,
    edge: EdgeNode,
    profile: Profile,
    idle_windows: IdleWindows,
    evidence: Evidence,
) -> None:
    """Read the agent's CPU time before and after a window."""
    claims = claimed(profile)
    window = idle_windows.of(deployment, edge, claims.window_s)
    evidence.value(f"{edge.name} {window.agent} CPU at idle, of a core", round(window.cpu_ratio, 4))
    assert window.cpu_ratio <= claims.agent_cpu_ratio, explain(
        promised=f"the agent of {edge.name} at idle uses at most {claims.agent_cpu_ratio:g} of a "
        "core",
        seen=f"{window.agent} used {window.agent_cpu_s:.2f} s of {window.seconds:.1f} s, which is "
        f"{window.cpu_ratio:.4f}",
        since="no container had come or gone on the node",
        look="the agent's periods (status, heartbeat, housekeeping) and its log for what repeats",
    )


@requirement(
    id="FPT-007",
    level="MUST",
    family="footprint",
    since="0.2",
    sentence="The traffic of the cloud link at idle MUST be within what the profile claims.",
    why="A mobile link is paid by the megabyte, and every node of a site shares it.",
    source="KubeEdge documentation: edge-cloud messaging; the paper's table of edge agents",
)
# It changes nothing, but what others do at the same time would be measured with it.
@pytest.mark.disturbs
@pytest.mark.needs(Capability.USAGE, Capability.LINK_TRAFFIC)
def test_link_traffic_at_idle_is_within_the_claim(
    deployment: Deployment,
    edge: EdgeNode,
    profile: Profile,
    idle_windows: IdleWindows,
    evidence: Evidence,
) -> None:
    """Read the counters of the interface towards the cloud before and after a window."""
    claims = claimed(profile)
    window = idle_windows.of(deployment, edge, claims.window_s)
    rate = round(window.link_bytes_per_min)
    evidence.value(f"{edge.name} link at idle", rate, "bytes/min")
    evidence.value(f"{edge.name} link at idle, received", window.received_bytes, "bytes")
    evidence.value(f"{edge.name} link at idle, sent", window.sent_bytes, "bytes")
    assert rate <= claims.idle_link_bytes_per_min, explain(
        promised=f"the cloud link of {edge.name} at idle carries at most "
        f"{claims.idle_link_bytes_per_min} bytes a minute",
        seen=f"{rate}: {window.received_bytes} received and {window.sent_bytes} sent in "
        f"{window.seconds:.1f} s",
        since="no container had come or gone on the node",
        look="heartbeat and status periods of the agent, and what else uses the interface",
    )


@requirement(
    id="FPT-009",
    level="MUST",
    family="footprint",
    since="0.2",
    sentence="The agent MUST keep its pods in a datastore on the node, no larger than the profile "
    "claims.",
    why="Without the cloud a node knows after a boot only what is on its own disk.",
    source="KubeEdge documentation: MetaManager persists metadata in SQLite; the paper's table",
)
@pytest.mark.needs(Capability.DISK)
def test_datastore_is_on_the_node_and_within_the_claim(
    edge: EdgeNode, profile: Profile, evidence: Evidence
) -> None:
    """Look for the agent's database on the node's disk."""
    limit = claimed(profile).datastore_bytes
    require(edge, Capability.DISK)
    stores = edge.datastores()
    for store in stores:
        evidence.value(f"{edge.name} {store.kind} at {store.path}", store.size_bytes, "bytes")
    assert stores, explain(
        promised=f"{edge.name} keeps its pods in a database of its own",
        seen="none where known agents have theirs",
        since="the test looked",
        look="where the agent keeps its pods; without a store it cannot boot offline",
    )
    total = sum(store.size_bytes for store in stores)
    assert total <= limit, explain(
        promised=f"the datastore of {edge.name} takes at most {limit} bytes",
        seen=f"{total}: {', '.join(f'{store.path} {store.size_bytes}' for store in stores)}",
        since="the test looked",
        look="what the agent keeps (rows per type), and whether it ever compacts it",
    )
