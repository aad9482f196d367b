"""Taints and the cordon on a node, for as long as a test needs them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from kubernetes import client

from conformance.workloads import REQUEST_TIMEOUT_S
from fixtures.target import Cluster, EdgeNode, JsonValue, Taint

_MERGE_PATCH = "application/merge-patch+json"


@contextmanager
def tainted(cluster: Cluster, edge: EdgeNode, taint: Taint) -> Iterator[None]:
    """One taint more on the node; it is taken off on exit, and the others stay as they are."""
    extra: Mapping[str, JsonValue] = {
        "key": taint.key,
        "value": taint.value,
        "effect": taint.effect,
    }
    try:
        _patch(cluster, edge, {"taints": [*_taints_but(cluster, edge, taint.key), extra]})
        yield
    finally:
        _patch(cluster, edge, {"taints": _taints_but(cluster, edge, taint.key)})


@contextmanager
def cordoned(cluster: Cluster, edge: EdgeNode) -> Iterator[None]:
    """No new pods for the node."""
    try:
        _patch(cluster, edge, {"unschedulable": True})
        yield
    finally:
        _patch(cluster, edge, {"unschedulable": None})


def _taints_but(cluster: Cluster, edge: EdgeNode, key: str) -> Sequence[JsonValue]:
    """The node's taints now, in full (a taint may have a time), without those of this key."""
    node = client.CoreV1Api(cluster.api_client).read_node(
        edge.name, _request_timeout=REQUEST_TIMEOUT_S
    )
    taints = (node.spec.taints if node.spec is not None else None) or []
    found: list[JsonValue] = cluster.api_client.sanitize_for_serialization(
        [one for one in taints if one.key != key]
    )
    return found


def _patch(cluster: Cluster, edge: EdgeNode, spec: Mapping[str, JsonValue]) -> None:
    client.CoreV1Api(cluster.api_client).patch_node(
        edge.name,
        {"spec": dict(spec)},
        _content_type=_MERGE_PATCH,
        _request_timeout=REQUEST_TIMEOUT_S,
    )
