"""Ways to break the offline episode while a child pytest plays it, each aimed at one promise.

The episode is dear, so that one child shows several requirements to fail: each breakage touches
a workload of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from conformance.autonomy.objects import APP, FIRST, LAST, SETTINGS, VALUE
from fixtures.target import EdgeNode
from tests.conformance.breakages import AGENT_SERVICE, MERGE_PATCH, on_node

PREFIX = "autonomy-"
_FINALIZER = "edge.example/stays"
_GONE_OR_CHANGED = frozenset({404, 409})


class Stage:
    """The child's scene: found by its namespace, and seen to begin, to be cut off and to end."""

    def __init__(self, core: client.CoreV1Api, edge: EdgeNode) -> None:
        self.core = core
        self.apps = client.AppsV1Api(core.api_client)
        self.edge = edge
        self.namespace = ""
        self.was_cut = False

    def look(self) -> bool:
        """Whether the scene's link is, or was, cut."""
        if not self.was_cut and self.edge.link.is_cut():
            self.namespace = self._find()
            self.was_cut = True
        return self.was_cut

    def ends(self) -> bool:
        """Whether the child is taking its scene away."""
        return self.namespace != self._find()

    def _find(self) -> str:
        spaces: Any = self.core.list_namespace().items
        return next(
            (
                space.metadata.name
                for space in spaces
                if space.metadata.name.startswith(PREFIX)
                and space.metadata.deletion_timestamp is None
            ),
            "",
        )

    def pods(self, app: str) -> list[Any]:
        """The scene's pods of one workload."""
        found: Any = self.core.list_namespaced_pod(self.namespace, label_selector=f"{APP}={app}")
        return list(found.items)


class CloudBreakage:
    """A cloud that does not carry changes to the node, nor the node's status to the people."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._began = False
        self._killed = False

    def step(self) -> bool:
        """Called again and again; True when the scene has ended and nothing is left to undo."""
        stage = self._stage
        if not stage.look():
            return False
        try:
            if not self._began:
                self._begin()
                self._began = True
            if stage.ends():
                self.let_go()
                return True
            self._go_on()
        except ApiException as error:
            # The child changes the same objects at the same time, and removes them in the end.
            if error.status not in _GONE_OR_CHANGED:
                raise
        return False

    def let_go(self) -> None:
        """Take the finalizers away, without which the scene could not be removed."""
        self._finalizers(None)

    def _begin(self) -> None:
        stage = self._stage
        stage.apps.patch_namespaced_deployment(
            "rolled", stage.namespace, {"spec": {"paused": True}}
        )
        quota = client.V1ResourceQuota(
            metadata=client.V1ObjectMeta(name="no-more-pods"),
            spec=client.V1ResourceQuotaSpec(hard={"pods": "1"}),
        )
        stage.core.create_namespaced_resource_quota(stage.namespace, quota)
        self._finalizers([_FINALIZER])
        for pod in stage.pods("doomed"):
            stage.core.delete_namespaced_pod(pod.metadata.name, stage.namespace)

    def _finalizers(self, value: list[str] | None) -> None:
        stage = self._stage
        for pod in (*stage.pods("doomed"), *stage.pods("removed")):
            stage.core.patch_namespaced_pod(
                pod.metadata.name,
                stage.namespace,
                {"metadata": {"finalizers": value}},
                _content_type=MERGE_PATCH,
            )

    def _go_on(self) -> None:
        stage = self._stage
        if not self._killed:
            self._kill_doomed()
        settings: Any = stage.core.read_namespaced_config_map(SETTINGS, stage.namespace)
        if settings.data[VALUE] == LAST:
            stage.core.patch_namespaced_config_map(
                SETTINGS, stage.namespace, {"data": {VALUE: FIRST}}
            )
        self._report("ready", lambda status: {**status, "ready": True})
        self._report("cached", lambda status: {**status, "restartCount": 0})
        if not stage.edge.link.is_cut():
            self._flap()

    def _kill_doomed(self) -> None:
        for one in self._stage.edge.containers():
            if one.pod_namespace == self._stage.namespace and one.pod_name == "doomed":
                self._stage.edge.kill_container(one)
                self._killed = True

    def _report(self, app: str, change: Callable[[dict[str, object]], dict[str, object]]) -> None:
        """Say something else of a pod's containers than the node does."""
        stage = self._stage
        for pod in stage.pods(app):
            found = stage.core.api_client.sanitize_for_serialization(pod.status.container_statuses)
            said = [change(status) for status in found or ()]
            if said != found:
                stage.core.patch_namespaced_pod_status(
                    pod.metadata.name,
                    stage.namespace,
                    {"status": {"containerStatuses": said}},
                    _content_type=MERGE_PATCH,
                )

    def _flap(self) -> None:
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        condition = {
            "type": "Ready",
            "status": "False",
            "reason": "Broken",
            "message": "broken on purpose",
            "lastTransitionTime": now,
            "lastHeartbeatTime": now,
        }
        self._stage.core.patch_node_status(
            self._stage.edge.name,
            {"status": {"conditions": [condition]}},
            _content_type="application/strategic-merge-patch+json",
        )


class DeadAgent:
    """A node whose agent dies with the link, and stays dead until the child tidies up."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._down = False

    def step(self) -> bool:
        """Called again and again; True when the agent runs again."""
        stage = self._stage
        if not stage.look():
            return False
        if not self._down:
            on_node(stage.edge, f"sv -w 20 down {AGENT_SERVICE}")
            self._down = True
        if not stage.ends():
            return False
        self.let_go()
        return True

    def let_go(self) -> None:
        """Start the agent."""
        on_node(self._stage.edge, f"sv -w 20 up {AGENT_SERVICE}")
