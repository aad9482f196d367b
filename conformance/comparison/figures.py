"""Figures that stand side by side in the report: an edge node's, and a plain Kubernetes node's."""

from __future__ import annotations

import enum
from typing import Literal

from fixtures.target import EdgeNode, Evidence, JsonValue

Side = Literal["edge", "plain"]


class Figure(enum.Enum):
    """What is compared, in the report's words."""

    AGENT = "agent"
    AGENT_RSS = "agent, resident memory (RSS)"
    AGENT_PSS = "agent, proportional memory (PSS)"
    RUNTIME_RSS = "container runtime with its shims, RSS"
    AGENT_BINARY = "agent, executable"
    RUNTIME_BINARIES = "container runtime, executables"
    DISK = "disk: images, containers, agent's data"
    AGENT_CPU = "agent's CPU at idle, of a core"
    LINK_IDLE = "cloud link at idle"
    LINK_POD_CHANGE = "cloud link per pod that comes or goes"
    DATASTORE = "datastore on the node"
    DATASTORE_SIZE = "datastore on the node, size"
    OFFLINE_SERVING = "link cut: requests that failed"
    OFFLINE_RESTART = "link cut: killed container answers again after"
    OFFLINE_BOOT = "link cut: after power is back, answers again after"
    CLOUD_NOTICES = "link cut: the cloud calls the node NotReady after"
    EVICTION = "link cut: the cloud gives a pod up that tolerates 1 s of absence"
    BACK = "link back: right answers after"


def compare(
    evidence: Evidence,
    figure: Figure,
    side: Side,
    node: EdgeNode,
    value: JsonValue,
    unit: str | None = None,
) -> None:
    """Record one figure of one side."""
    evidence.record(
        "comparison",
        {
            "figure": figure.value,
            "side": side,
            "node": node.name,
            "value": value,
            "unit": unit,
        },
    )
