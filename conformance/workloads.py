"""Kubernetes objects of a test's own: made with the official client's types, and taken away."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from fixtures.target import MANAGED_BY as MANAGED_BY
from fixtures.target import SUITE as SUITE
from fixtures.target import Cluster, Taint, wait_until

GONE_TIMEOUT_S = 60.0
REQUEST_TIMEOUT_S = (5.0, 20.0)
"""Time-outs of one request to the API server: to connect, and to read."""
PROBE_GRACE_S = 1
NOT_FOUND = 404

Made = TypeVar("Made")


def tolerations(taints: Sequence[Taint]) -> list[client.V1Toleration]:
    """Tolerations of exactly these taints."""
    return [
        client.V1Toleration(key=taint.key, operator="Equal", value=taint.value, effect=taint.effect)
        for taint in taints
    ]


def probe_container(
    cluster: Cluster, name: str = "probe", resources: Mapping[str, int] | None = None
) -> client.V1Container:
    """A container that sleeps; ``resources`` are extended ones, requests and limits alike."""
    counts = {key: str(count) for key, count in (resources or {}).items()}
    return client.V1Container(
        name=name,
        image=cluster.probe_image,
        image_pull_policy="IfNotPresent",
        command=None if cluster.probe_command is None else list(cluster.probe_command),
        resources=client.V1ResourceRequirements(requests=counts, limits=counts),
    )


def probe_pod(
    cluster: Cluster,
    name: str,
    *,
    namespace: str | None = None,
    resources: Mapping[str, int] | None = None,
    node_selector: Mapping[str, str] | None = None,
    tolerated: Sequence[Taint] = (),
    labels: Mapping[str, str] | None = None,
) -> client.V1Pod:
    """A pod that sleeps and goes at once when deleted; a test changes its spec as it likes.

    Extended resources are requests and limits alike. ``namespace`` is the cluster's own unless
    given.
    """
    return client.V1Pod(
        api_version="v1",
        kind="Pod",
        metadata=client.V1ObjectMeta(
            name=name,
            namespace=namespace or cluster.namespace,
            labels={**(labels or {}), MANAGED_BY: SUITE},
        ),
        spec=client.V1PodSpec(
            automount_service_account_token=False,
            enable_service_links=False,
            termination_grace_period_seconds=PROBE_GRACE_S,
            node_selector=dict(node_selector or {}),
            tolerations=tolerations(tolerated),
            containers=[probe_container(cluster, resources=resources)],
        ),
    )


@contextmanager
def created(
    cluster: Cluster, wanted: Made, gone_timeout_s: float = GONE_TIMEOUT_S
) -> Iterator[Made]:
    """Create the object; on exit delete it and wait until it is gone. Gives it as created.

    An object of the same name that an earlier, killed run left is deleted first, if it carries
    the suite's label. Anything that this module can name by ``kind`` may be given.

    Raises:
        ApiException: when the API server refuses it.
        WaitTimeout: when it is not gone in time.
    """
    api = _Api(cluster, cast("Any", wanted))
    api.remove_leftover()
    made = api.create()
    try:
        yield cast("Made", made)
    finally:
        api.delete(made.metadata.uid, gone_timeout_s)


def pod_now(cluster: Cluster, namespace: str, name: str) -> client.V1Pod | None:
    """The pod as the API server has it, or None."""
    core = client.CoreV1Api(cluster.api_client)
    try:
        return core.read_namespaced_pod(name, namespace, _request_timeout=REQUEST_TIMEOUT_S)
    except ApiException as error:
        if error.status == NOT_FOUND:
            return None
        raise


def service_accounts(cluster: Cluster, namespace: str) -> tuple[str, ...]:
    """The names of a namespace's service accounts."""
    core = client.CoreV1Api(cluster.api_client)
    found: Any = core.list_namespaced_service_account(namespace, _request_timeout=REQUEST_TIMEOUT_S)
    return tuple(account.metadata.name for account in found.items)


def is_ready(pod: client.V1Pod | None) -> bool:
    """Whether the pod's Ready condition is True."""
    conditions = pod.status.conditions if pod is not None and pod.status is not None else None
    return any(one.type == "Ready" and one.status == "True" for one in conditions or ())


def wait_ready(cluster: Cluster, namespace: str, name: str, timeout_s: float) -> client.V1Pod:
    """Wait until the pod is Ready.

    Raises:
        WaitTimeout: with the state last seen.
    """
    pod = wait_until(
        f"pod {namespace}/{name} to be Ready",
        lambda: pod_now(cluster, namespace, name),
        is_ready,
        timeout_s,
    )
    if pod is None:
        raise AssertionError("a pod that is None is never ready")
    return pod


class _Api:
    """The four calls on one kind of object, in a namespace or without one."""

    _GROUPS: tuple[tuple[frozenset[str], Callable[[client.ApiClient], Any]], ...] = (
        (
            frozenset(
                {"Pod", "ConfigMap", "Secret", "Service", "ServiceAccount", "Namespace", "Node"}
            ),
            client.CoreV1Api,
        ),
        (frozenset({"Deployment", "DaemonSet"}), client.AppsV1Api),
        (frozenset({"Job"}), client.BatchV1Api),
        (frozenset({"PriorityClass"}), client.SchedulingV1Api),
        (frozenset({"RuntimeClass"}), client.NodeV1Api),
        (
            frozenset({"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}),
            client.RbacAuthorizationV1Api,
        ),
    )
    _CLUSTER_WIDE = frozenset(
        {"Namespace", "Node", "PriorityClass", "RuntimeClass", "ClusterRole", "ClusterRoleBinding"}
    )

    def __init__(self, cluster: Cluster, wanted: Any) -> None:
        kind = wanted.kind
        make = next((api for kinds, api in self._GROUPS if kind in kinds), None)
        if make is None:
            raise ValueError(
                f"kind {kind!r}: expected one that the module knows, set on the object"
            )
        self._api = make(cluster.api_client)
        snake = "".join(f"_{c.lower()}" if c.isupper() else c for c in kind).lstrip("_")
        namespaced = kind not in self._CLUSTER_WIDE
        self._method = f"namespaced_{snake}" if namespaced else snake
        self._where = (wanted.metadata.namespace or cluster.namespace,) if namespaced else ()
        self._wanted = wanted
        self._name = wanted.metadata.name
        wanted.metadata.labels = {**(wanted.metadata.labels or {}), MANAGED_BY: SUITE}

    def create(self) -> Any:
        create = getattr(self._api, f"create_{self._method}")
        return create(*self._where, self._wanted, _request_timeout=REQUEST_TIMEOUT_S)

    def read(self) -> Any | None:
        read = getattr(self._api, f"read_{self._method}")
        try:
            return read(self._name, *self._where, _request_timeout=REQUEST_TIMEOUT_S)
        except ApiException as error:
            if error.status == NOT_FOUND:
                return None
            raise

    def remove_leftover(self) -> None:
        found = self.read()
        if found is None:
            return
        if (found.metadata.labels or {}).get(MANAGED_BY) != SUITE:
            raise ValueError(f"{self._wanted.kind} {self._name} exists and is not the suite's own")
        self.delete(found.metadata.uid, GONE_TIMEOUT_S)

    def delete(self, uid: str, timeout_s: float) -> None:
        """Delete exactly this object, and what it owns, and wait until it is gone."""
        delete = getattr(self._api, f"delete_{self._method}")
        options = client.V1DeleteOptions(
            preconditions=client.V1Preconditions(uid=uid), propagation_policy="Foreground"
        )
        try:
            delete(self._name, *self._where, body=options, _request_timeout=REQUEST_TIMEOUT_S)
        except ApiException as error:
            # 409: a successor of the same name, which is not meant.
            if error.status not in (NOT_FOUND, 409):
                raise
        wait_until(
            f"{self._wanted.kind} {self._name} to be gone",
            self.read,
            lambda seen: seen is None or seen.metadata.uid != uid,
            timeout_s,
        )
