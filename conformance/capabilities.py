"""Choosing edge nodes by what may be done to them; what is missing is said in the skip."""

from __future__ import annotations

import pytest

from fixtures.target import Capability, Deployment, EdgeNode


def require(edge: EdgeNode, *needed: Capability) -> None:
    """Skip the test, with the reason, unless the edge node has all capabilities."""
    missing = [capability.value for capability in needed if capability not in edge.capabilities]
    if missing:
        pytest.skip(f"{edge.name}: the deployment has declared no way to {' or to '.join(missing)}")


def first_edge(deployment: Deployment, *needed: Capability) -> EdgeNode:
    """The first edge node with all capabilities, one with an accelerator if there is one.

    The accelerator is preferred because a node that must also give its device back to the same
    pod has the harder task.
    """
    able = deployment.edges_with(*needed)
    if not able:
        wanted = " and to ".join(capability.value for capability in needed)
        pytest.skip(f"{deployment.name}: no edge node for which there is a way to {wanted}")
    return next((edge for edge in able if edge.accelerator is not None), able[0])
