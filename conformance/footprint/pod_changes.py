"""What pods that come and go cost on the cloud link."""

from __future__ import annotations

import time

from conformance.footprint.crowd import crowd
from fixtures.target import Cluster, EdgeNode


def traffic_of_pod_changes(
    cluster: Cluster, edge: EdgeNode, idle_bytes_per_min: float, count: int
) -> float:
    """Bytes per change (a pod's start or its end), beyond what an idle node has in that time."""
    with crowd(cluster, edge) as pods:
        # The image is pulled by the first pod, if it is not on the node yet.
        pods.grow_to(1)
        pods.clear()
        begun = time.monotonic()
        before = edge.link_traffic()
        pods.grow_to(count)
        pods.clear()
        after = edge.link_traffic()
        seconds = time.monotonic() - begun
    beyond = after.total_bytes - before.total_bytes - idle_bytes_per_min * seconds / 60.0
    return beyond / (2 * count)
