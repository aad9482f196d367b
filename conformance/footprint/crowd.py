"""Small pods on one node, as many as a test asks for, and gone at its end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from kubernetes import client

from conformance.workloads import REQUEST_TIMEOUT_S, probe_pod
from fixtures.target import Cluster, EdgeNode, PodStatus, wait_until

_LABEL = "edge-conformance/crowd"
_BASE_S = 60.0
_PER_POD_S = 4.0


class Crowd:
    """Pods that sleep on a node; they are bound to it directly, without the scheduler."""

    def __init__(self, cluster: Cluster, edge: EdgeNode) -> None:
        self._cluster = cluster
        self._core = client.CoreV1Api(cluster.api_client)
        self._edge = edge
        self._selector = f"{_LABEL}={edge.name}"

    def grow_to(self, count: int) -> float:
        """Add pods until there are ``count``, all Ready; gives the seconds that it took.

        Raises:
            WaitTimeout: they were not all Ready in time.
        """
        begun = time.monotonic()
        for index in range(len(self._pods()), count):
            self._core.create_namespaced_pod(
                self._cluster.namespace, self._pod(index), _request_timeout=REQUEST_TIMEOUT_S
            )
        wait_until(
            f"{count} small pods Ready on {self._edge.name}",
            lambda: sum(pod.ready for pod in self._pods()),
            lambda ready: ready == count,
            _BASE_S + _PER_POD_S * count,
            interval_s=0.5,
        )
        return time.monotonic() - begun

    def clear(self) -> float:
        """Delete all, and wait until they are gone; gives the seconds that it took.

        Raises:
            WaitTimeout: some were not gone in time.
        """
        begun = time.monotonic()
        there = len(self._pods())
        if not there:
            return 0.0
        self._core.delete_collection_namespaced_pod(
            self._cluster.namespace,
            label_selector=self._selector,
            _request_timeout=REQUEST_TIMEOUT_S,
        )
        wait_until(
            f"the small pods of {self._edge.name} to be gone",
            lambda: len(self._pods()),
            lambda left: left == 0,
            _BASE_S + _PER_POD_S * there,
            interval_s=0.5,
        )
        return time.monotonic() - begun

    def _pods(self) -> tuple[PodStatus, ...]:
        return self._cluster.pods(self._selector)

    def _pod(self, index: int) -> client.V1Pod:
        pod = probe_pod(
            self._cluster,
            f"crowd-{self._edge.name}-{index}",
            tolerated=self._edge.taints,
            labels={_LABEL: self._edge.name},
        )
        if pod.spec is None:
            raise AssertionError("a probe pod has a spec")
        pod.spec.node_name = self._edge.name
        return pod


@contextmanager
def crowd(cluster: Cluster, edge: EdgeNode) -> Iterator[Crowd]:
    """A crowd for a block; what an earlier, killed run left is removed first."""
    made = Crowd(cluster, edge)
    made.clear()
    try:
        yield made
    finally:
        made.clear()
