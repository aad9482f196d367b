"""Where the images of the inference servers come from."""

from __future__ import annotations

from kubernetes import client

from conformance.security.agent import Address
from conformance.workloads import REQUEST_TIMEOUT_S
from fixtures.target import Cluster

_HTTPS = 443


def pods_of(cluster: Cluster, selector: str) -> list[client.V1Pod]:
    """The pods of the suite's namespace with the label, in full."""
    core = client.CoreV1Api(cluster.api_client)
    found = core.list_namespaced_pod(
        cluster.namespace, label_selector=selector, _request_timeout=REQUEST_TIMEOUT_S
    )
    return list(found.items)


def containers_of(pod: client.V1Pod) -> list[client.V1Container]:
    """The containers of a pod, those that only prepare it included."""
    if pod.spec is None:
        raise AssertionError("a pod from the API server has a spec")
    return [*(pod.spec.init_containers or ()), *pod.spec.containers]


def registries(cluster: Cluster, selector: str) -> list[tuple[Address, str]]:
    """Registry and repository of each image of the pods, each registry once."""
    found: dict[Address, str] = {}
    for pod in pods_of(cluster, selector):
        for container in containers_of(pod):
            registry, _, repository = (container.image or "").partition("/")
            # As container runtimes read it: a first part without dot or port is no host.
            if "." not in registry and ":" not in registry:
                continue
            host, _, port = registry.partition(":")
            name = repository.partition("@")[0].rpartition(":")[0] or repository
            found.setdefault(Address(host, int(port or _HTTPS)), name)
    return list(found.items())
