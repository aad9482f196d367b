"""What the lab's people deploy: a namespace, the tester's rights, and Triton. Run on the bench.

python -m tests.existing_cluster.workload ADMIN_KUBECONFIG NODE
"""

from __future__ import annotations

import sys
from types import MappingProxyType
from typing import Any

from kubernetes import client, config
from urllib3.exceptions import HTTPError

from fixtures.wait import wait_until

NAMESPACE = "edge-conformance"
MODELS = ("defect-classifier", "anomaly-window", "identity")
# Models for single parts of the protocol, by their role.
ROLES = MappingProxyType({"types": "conformance-types", "versions": "conformance-versions"})
TESTER = "acme-tester"
IMAGES = {name: f"acme.example/{name}:1" for name in ("triton", "pause", "probe")}
_NOT_YET = (client.ApiException, HTTPError)
_RBAC = "rbac.authorization.k8s.io"
# As docs/certify-a-device.md states them.
_RIGHTS = (
    (("pods",), ("get", "list", "create", "delete")),
    (("events",), ("list",)),
    (("namespaces",), ("get",)),
)


def main(kubeconfig: str, node: str) -> None:
    """Deploy it all, and wait until Triton is Ready."""
    config.load_kube_config(kubeconfig)
    core = client.CoreV1Api()
    namespace = client.V1Namespace(metadata=client.V1ObjectMeta(name=NAMESPACE))
    wait_until(
        "the API server to make a namespace",
        lambda: core.create_namespace(namespace, _request_timeout=5),
        lambda made: made is not None,
        90,
        expected=_NOT_YET,
    )
    _let_in_the_tester()
    client.AppsV1Api().create_namespaced_deployment(NAMESPACE, _triton(node))
    wait_until("Triton to be Ready", lambda: _states(core), _all_ready, 120, 0.5, _NOT_YET)


def _let_in_the_tester() -> None:
    rbac = client.RbacAuthorizationV1Api()
    subjects = [client.RbacV1Subject(kind="User", name=TESTER, api_group=_RBAC)]
    meta = client.V1ObjectMeta(name=TESTER)
    nodes = client.V1PolicyRule(api_groups=[""], resources=["nodes"], verbs=["get"])
    rules = [
        client.V1PolicyRule(api_groups=[""], resources=list(resources), verbs=list(verbs))
        for resources, verbs in _RIGHTS
    ]
    rbac.create_cluster_role(client.V1ClusterRole(metadata=meta, rules=[nodes]))
    rbac.create_cluster_role_binding(
        client.V1ClusterRoleBinding(
            metadata=meta,
            subjects=subjects,
            role_ref=client.V1RoleRef(api_group=_RBAC, kind="ClusterRole", name=TESTER),
        )
    )
    rbac.create_namespaced_role(NAMESPACE, client.V1Role(metadata=meta, rules=rules))
    rbac.create_namespaced_role_binding(
        NAMESPACE,
        client.V1RoleBinding(
            metadata=meta,
            subjects=subjects,
            role_ref=client.V1RoleRef(api_group=_RBAC, kind="Role", name=TESTER),
        ),
    )


def _triton(node: str) -> client.V1Deployment:
    labels = {"app.kubernetes.io/name": "triton", "app.kubernetes.io/part-of": "inspection"}
    container = client.V1Container(
        name="server",
        image=IMAGES["triton"],
        command=["tritonserver"],
        args=[
            "--model-repository=/models",
            "--model-control-mode=explicit",
            *(f"--load-model={model}" for model in (*MODELS, *ROLES.values())),
            "--exit-timeout-secs=3",
        ],
        readiness_probe=client.V1Probe(
            http_get=client.V1HTTPGetAction(path="/v2/health/ready", port=8000), period_seconds=1
        ),
        resources=client.V1ResourceRequirements(
            requests={"cpu": "100m", "memory": "128Mi"}, limits={"memory": "2Gi"}
        ),
        volume_mounts=[client.V1VolumeMount(name="shared-memory", mount_path="/dev/shm")],
    )
    pod = client.V1PodSpec(
        # Its ports are those of the box, on the LAN: the lab has no service network.
        host_network=True,
        automount_service_account_token=False,
        termination_grace_period_seconds=5,
        node_selector={"kubernetes.io/hostname": node, "acme.example/hall": "7"},
        tolerations=[
            client.V1Toleration(key="acme.example/inference-only", operator="Exists"),
            *(
                client.V1Toleration(key=key, operator="Exists", effect="NoExecute")
                for key in ("node.kubernetes.io/unreachable", "node.kubernetes.io/not-ready")
            ),
        ],
        containers=[container],
        volumes=[
            client.V1Volume(
                name="shared-memory",
                empty_dir=client.V1EmptyDirVolumeSource(medium="Memory", size_limit="256Mi"),
            )
        ],
    )
    return client.V1Deployment(
        metadata=client.V1ObjectMeta(name="inspection", labels=labels),
        spec=client.V1DeploymentSpec(
            replicas=1,
            strategy=client.V1DeploymentStrategy(type="Recreate"),
            selector=client.V1LabelSelector(match_labels=labels),
            template=client.V1PodTemplateSpec(
                metadata=client.V1ObjectMeta(labels=labels), spec=pod
            ),
        ),
    )


def _states(core: client.CoreV1Api) -> dict[str, str]:
    """Pods by name: Ready, or what stands against it."""
    found: dict[str, str] = {}
    pods: list[Any] = core.list_namespaced_pod(NAMESPACE, _request_timeout=5).items
    for pod in pods:
        status = pod.status
        ready = any(one.type == "Ready" and one.status == "True" for one in status.conditions or [])
        waiting = [one.state.waiting for one in status.container_statuses or [] if one.state]
        reasons = [f"{one.reason}: {one.message}" for one in waiting if one]
        found[pod.metadata.name] = "Ready" if ready else f"{status.phase} {'; '.join(reasons)}"
    return found


def _all_ready(found: dict[str, str]) -> bool:
    return bool(found) and set(found.values()) == {"Ready"}


if __name__ == "__main__":
    main(*sys.argv[1:])
