"""The scene of the offline episode: workloads on one node, seen from the cloud and on the node."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kubernetes import client

from conformance.autonomy.objects import APP, Objects
from conformance.autonomy.pod_view import PodView, pod_view
from conformance.errors import ConformanceError
from conformance.workloads import REQUEST_TIMEOUT_S, created
from fixtures.target import Cluster, ContainerInfo, EdgeNode, wait_until

PREPARED_S = 120.0
# Whatever became of the link: a namespace goes when its node is back and has let its pods go.
GONE_S = 240.0
REPLICAS = {"rolled": 1, "grown": 1, "shrunk": 2, "removed": 1}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The scene at one moment: pods and node as the cloud has them, containers on the node.

    ``node`` is the Ready condition's status, ``node_since`` when it last changed.
    """

    node: str
    node_since: str
    pods: tuple[PodView, ...]
    containers: tuple[ContainerInfo, ...]

    def pods_of(self, app: str) -> tuple[PodView, ...]:
        """The pods of one workload that the cloud knows."""
        return tuple(pod for pod in self.pods if pod.app == app)

    def pod(self, app: str) -> PodView | None:
        """The pod of a workload that has one."""
        found = self.pods_of(app)
        return found[0] if len(found) == 1 else None

    def containers_of(self, app: str) -> tuple[ContainerInfo, ...]:
        """The containers of one workload that run on the node, whatever the cloud knows."""
        return tuple(
            one
            for one in self.containers
            if one.pod_name == app or one.pod_name.startswith(f"{app}-")
        )

    def container(self, app: str, name: str = "probe") -> ContainerInfo | None:
        """The running container of a workload that has one pod."""
        found = [one for one in self.containers_of(app) if one.name == name]
        return found[0] if found else None


class Scene:
    """Where the episode plays."""

    def __init__(self, cluster: Cluster, edge: EdgeNode, namespace: str) -> None:
        self.cluster = cluster
        self.edge = edge
        self.namespace = namespace
        self.core = client.CoreV1Api(cluster.api_client)
        self.apps = client.AppsV1Api(cluster.api_client)

    def snapshot(self) -> Snapshot:
        """The scene now."""
        node: Any = self.core.read_node(self.edge.name, _request_timeout=REQUEST_TIMEOUT_S)
        ready = next(
            (one for one in node.status.conditions or () if one.type == "Ready"),
            client.V1NodeCondition(type="Ready", status="absent"),
        )
        return Snapshot(
            node=ready.status,
            node_since=str(ready.last_transition_time),
            pods=self.pods(),
            containers=tuple(
                one for one in self.edge.containers() if one.pod_namespace == self.namespace
            ),
        )

    def pods(self) -> tuple[PodView, ...]:
        """The pods of the scene as the cloud has them."""
        found = self.core.list_namespaced_pod(
            self.namespace, label_selector=APP, _request_timeout=REQUEST_TIMEOUT_S
        )
        return tuple(pod_view(pod) for pod in found.items)

    def tell(self, taken: Snapshot, app: str, file: str, word: str) -> None:
        """Write a word into a file of a workload's container, on the node."""
        container = taken.container(app)
        if container is None:
            raise ConformanceError(f"{self.edge.name}: no container of pod {app} runs")
        argv = ["sh", "-c", f"echo {word} >{file}"]
        done = self.edge.exec_in_container(container, argv)
        if done.exit_code != 0:
            raise ConformanceError(f"{app}: {argv}: exit {done.exit_code}: {done.stderr.strip()}")

    def read(self, container: ContainerInfo | None, file: str) -> str:
        """What a file says inside a container on the node, or why it says nothing."""
        if container is None:
            return "no container runs"
        done = self.edge.exec_in_container(container, ["cat", file])
        if done.exit_code != 0:
            return f"exit {done.exit_code}: {done.stderr.strip()[-200:]}"
        return done.stdout.strip()

    def starts_s(self, taken: Snapshot) -> tuple[float, ...]:
        """When the crashing container was started, on the clock of the node."""
        text = self.read(taken.container("crashing", "keeper"), "/work/starts")
        words = [line.split() for line in text.splitlines()]
        if not all(len(line) == 2 for line in words):
            raise ConformanceError(f"{self.edge.name}: the times of starts: found {text!r}")
        return tuple(float(line[0]) for line in words)


@contextmanager
def prepared(cluster: Cluster, edge: EdgeNode) -> Iterator[Scene]:
    """All workloads Ready in a namespace of their own, which is removed at the end."""
    name = f"autonomy-{uuid.uuid4().hex[:8]}"
    space = client.V1Namespace(
        api_version="v1", kind="Namespace", metadata=client.V1ObjectMeta(name=name)
    )
    with created(cluster, space, GONE_S):
        scene = Scene(cluster, edge, name)
        _fill(scene, Objects(cluster, edge, name))
        yield scene


def _fill(scene: Scene, objects: Objects) -> None:
    # The API server takes no pod before the namespace has its default service account.
    wait_until(
        f"the service account of namespace {scene.namespace}",
        lambda: scene.core.list_namespaced_service_account(scene.namespace).items,
        bool,
        PREPARED_S,
    )
    scene.core.create_namespaced_config_map(scene.namespace, objects.settings())
    scene.core.create_namespaced_secret(scene.namespace, objects.credentials())
    pods = (
        objects.alive(),
        objects.ready(),
        objects.cached(),
        objects.crashing(),
        objects.finishing(),
        objects.spilling(),
        objects.doomed(),
        objects.reader(),
    )
    for pod in pods:
        scene.core.create_namespaced_pod(scene.namespace, pod)
    for app, count in REPLICAS.items():
        scene.apps.create_namespaced_deployment(scene.namespace, objects.replicas(app, count))
    expected = len(pods) + sum(REPLICAS.values())

    def missing() -> list[str]:
        found = scene.pods()
        waiting = [pod.name for pod in found if not pod.ready]
        return [*waiting, *["a pod that is not there yet"] * (expected - len(found))]

    wait_until(
        f"the {expected} pods of the offline episode Ready on {scene.edge.name}",
        missing,
        lambda names: not names,
        PREPARED_S,
        interval_s=0.5,
    )
