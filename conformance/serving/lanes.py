"""Lanes: copies of a server under Kubernetes Deployments, updated and rolled back one by one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kubernetes import client

from conformance.errors import AnswerError
from conformance.inference import HttpClient, prepare
from conformance.serving.copies import Copy
from conformance.workloads import REQUEST_TIMEOUT_S, created, is_ready
from fixtures.target import Cluster, GoldenSample, wait_until

LANE = "edge-conformance/lane"
REVISION = "edge-conformance/revision"
_REPLICASET_REVISION = "deployment.kubernetes.io/revision"
_ASK_TIMEOUT_S = 2.0


class Lane:
    """One replica of the server with ports of its own: a Deployment that recreates its pod.

    Two pods cannot have the same port of a node, so a lane is away while it is updated; what
    serves meanwhile is the other lane.
    """

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        name: str,
        server: Copy,
        golden: GoldenSample,
        revision: str = "1",
    ) -> None:
        self.name = name
        self.revision = revision
        (container,) = server.spec.containers
        self.image = str(container.image)
        self.endpoint = server.endpoint
        self._cluster = cluster
        self._namespace = namespace
        self._golden = prepare(golden, binary=False)
        self._apps = client.AppsV1Api(cluster.api_client)
        self._core = client.CoreV1Api(cluster.api_client)
        self._document = client.V1Deployment(
            api_version="apps/v1",
            kind="Deployment",
            metadata=client.V1ObjectMeta(
                name=f"lane-{name}", namespace=namespace, labels={LANE: name}
            ),
            spec=client.V1DeploymentSpec(
                replicas=1,
                strategy=client.V1DeploymentStrategy(type="Recreate"),
                selector=client.V1LabelSelector(match_labels={LANE: name}),
                template=client.V1PodTemplateSpec(
                    metadata=client.V1ObjectMeta(labels={LANE: name, REVISION: revision}),
                    spec=server.spec,
                ),
            ),
        )

    @contextmanager
    def started(self) -> Iterator[Lane]:
        """Start the lane, and wait for nothing; it goes at the end."""
        with created(self._cluster, self._document):
            yield self

    @contextmanager
    def up(self, timeout_s: float) -> Iterator[Lane]:
        """Start the lane and wait until it answers; it goes at the end."""
        with self.started():
            self.wait_serving(self.revision, timeout_s)
            yield self

    def update(self, revision: str, image: str | None = None) -> None:
        """Give the pod template another revision, and another image if one is named."""
        template: dict[str, Any] = {"metadata": {"labels": {REVISION: revision}}}
        if image is not None:
            (container,) = self._template().spec.containers
            template["spec"] = {"containers": [{"name": container.name, "image": image}]}
        self._patch(template)

    def roll_back(self) -> None:
        """What ``kubectl rollout undo`` does: the template of the revision before the last."""
        found: Any = self._apps.list_namespaced_replica_set(
            self._namespace,
            label_selector=f"{LANE}={self.name}",
            _request_timeout=REQUEST_TIMEOUT_S,
        ).items
        by_age = sorted(found, key=lambda one: int(one.metadata.annotations[_REPLICASET_REVISION]))
        assert len(by_age) > 1, f"lane {self.name} has {len(by_age)} revision: none to go back to"
        before = by_age[-2].spec.template
        self._patch(
            {
                "metadata": {"labels": {REVISION: before.metadata.labels[REVISION]}},
                "spec": {
                    "containers": [
                        {"name": one.name, "image": one.image} for one in before.spec.containers
                    ]
                },
            }
        )

    def wait_serving(self, revision: str, timeout_s: float) -> float:
        """Wait until the lane's only pod is of the revision, Ready, and answers rightly.

        Gives the seconds that it took.

        Raises:
            WaitTimeout: with what was seen last.
        """
        begun = time.monotonic()
        wait_until(
            f"lane {self.name} to serve revision {revision}",
            lambda: self.state(revision),
            lambda state: state == "serving",
            timeout_s,
        )
        return time.monotonic() - begun

    def state(self, revision: str) -> str:
        """``serving``, or what of that is not so."""
        pods: Any = self._core.list_namespaced_pod(
            self._namespace,
            label_selector=f"{LANE}={self.name}",
            _request_timeout=REQUEST_TIMEOUT_S,
        ).items
        seen = [
            f"{one.metadata.name}: revision {one.metadata.labels.get(REVISION)}, "
            f"{waiting_for(one)}{'' if one.metadata.deletion_timestamp is None else ', ending'}"
            for one in pods
        ]
        wanted = [one for one in pods if one.metadata.labels.get(REVISION) == revision]
        if len(pods) != 1 or len(wanted) != 1 or not is_ready(wanted[0]):
            return "; ".join(seen) or "no pod"
        asked = HttpClient(self.endpoint, _ASK_TIMEOUT_S)
        try:
            asked.ask(self._golden)
        except AnswerError as error:
            return f"{seen[0]}; {error}"
        finally:
            asked.close()
        return "serving"

    def _template(self) -> Any:
        found: Any = self._apps.read_namespaced_deployment(
            f"lane-{self.name}", self._namespace, _request_timeout=REQUEST_TIMEOUT_S
        )
        return found.spec.template

    def _patch(self, template: dict[str, Any]) -> None:
        self._apps.patch_namespaced_deployment(
            f"lane-{self.name}",
            self._namespace,
            {"spec": {"template": template}},
            _request_timeout=REQUEST_TIMEOUT_S,
        )


def absent(image: str) -> str:
    """The reference of an image that the server's registry does not have."""
    name, _, _ = image.partition("@")
    repository, colon, tag = name.rpartition(":")
    # A colon before a slash is that of the registry's port.
    if not colon or "/" in tag:
        repository = name
    return f"{repository}:edge-conformance-not-there"


def waiting_for(pod: Any) -> str:
    """The pod's phase, and what its containers wait for."""
    reasons = [
        one.state.waiting.reason
        for one in pod.status.container_statuses or ()
        if one.state is not None and one.state.waiting is not None
    ]
    words = ["Ready" if is_ready(pod) else str(pod.status.phase), *map(str, reasons)]
    return ", ".join(words)
