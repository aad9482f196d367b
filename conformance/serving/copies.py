"""Copies of a node's inference server: pods of the test's own, made from the server's pod.

A copy differs from the server in its name, namespace and ports alone, so that what is seen of it
holds for the server, which nobody touches.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest
from kubernetes import client

from conformance.pods import inference_pods
from conformance.workloads import REQUEST_TIMEOUT_S
from fixtures.target import Cluster, Deployment, EdgeNode, Endpoint

HOSTNAME = "kubernetes.io/hostname"
_PORT_FLAG = re.compile(r"(--(?:http|grpc|metrics)-port=)(\d+)")
_PORTS_OF_A_COPY = 3
# What the API server and the scheduler have put into the pod, and would put in again.
_GIVEN_BY_THE_CLUSTER = ("node_name", "service_account", "service_account_name", "priority")


@dataclass(frozen=True, slots=True)
class Copy:
    """The pod spec of a copy, and where it is reached once it runs."""

    spec: client.V1PodSpec
    endpoint: Endpoint


def edge_with_room(deployment: Deployment, copies: int) -> EdgeNode:
    """A node that can run so many copies beside its server; skips the test where none can."""
    for edge in deployment.edges.values():
        claim = edge.accelerator
        if claim is None:
            return edge
        held = sum(
            pod.resources.get(claim.resource, 0)
            for pod in deployment.cluster.pods(node=edge.name)
            if pod.phase == "Running"
        )
        if claim.count - held >= copies:
            return edge
    pytest.skip(
        f"{deployment.name}: no node has room for {copies} more of its inference server: "
        "each needs an accelerator of its own"
    )


def copy_of_server(cluster: Cluster, edge: EdgeNode, first_port: int) -> Copy:
    """A copy of the node's server on three ports from ``first_port``.

    Skips the test where the server's ports cannot be told from its pod.
    """
    (status,) = inference_pods(cluster, edge)
    core = client.CoreV1Api(cluster.api_client)
    pod = core.read_namespaced_pod(
        status.name, status.namespace, _request_timeout=REQUEST_TIMEOUT_S
    )
    endpoint = replace(
        edge.endpoint,
        http_port=first_port,
        grpc_port=first_port + 1,
        metrics_port=first_port + 2,
    )
    ports = {
        edge.endpoint.http_port: endpoint.http_port,
        edge.endpoint.grpc_port: endpoint.grpc_port,
        edge.endpoint.metrics_port: endpoint.metrics_port,
    }
    spec = cast("client.V1PodSpec", copy.deepcopy(pod.spec))
    for name in _GIVEN_BY_THE_CLUSTER:
        setattr(spec, name, None)
    spec.node_selector = {HOSTNAME: edge.name}
    moved = (
        _move_on_the_nodes_network(spec, ports)
        if spec.host_network
        else _move_host_ports(spec, ports)
    )
    if moved != _PORTS_OF_A_COPY:
        pytest.skip(
            f"{edge.name}: pod {status.name} names {moved} of its {_PORTS_OF_A_COPY} ports, by "
            "--http-port= and the like on the node's network, or else as hostPort: no copy of it "
            "could listen elsewhere"
        )
    return Copy(spec, endpoint)


def _move_on_the_nodes_network(spec: Any, ports: Mapping[int, int]) -> int:
    """Other ports in the command line and the probes; gives how many the command line named."""
    found = 0

    def moved(word: str) -> str:
        nonlocal found
        match = _PORT_FLAG.fullmatch(word)
        if match is None or int(match[2]) not in ports:
            return word
        found += 1
        return f"{match[1]}{ports[int(match[2])]}"

    for container in spec.containers:
        container.command = [moved(word) for word in container.command or ()] or None
        container.args = [moved(word) for word in container.args or ()] or None
        container.ports = None
        for probe in (container.readiness_probe, container.liveness_probe, container.startup_probe):
            for action in (probe.http_get, probe.tcp_socket, probe.grpc) if probe else ():
                if action is not None and action.port in ports:
                    action.port = ports[action.port]
    return found


def _move_host_ports(spec: Any, ports: Mapping[int, int]) -> int:
    found = 0
    for container in spec.containers:
        for port in container.ports or ():
            if port.host_port in ports:
                port.host_port = ports[port.host_port]
                found += 1
    return found
