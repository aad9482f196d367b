"""Security: what the pods of the inference servers may do, see and run."""

from __future__ import annotations

import re

import pytest

from conformance.capabilities import require
from conformance.catalogue import requirement
from conformance.explain import explain
from conformance.pods import INFERENCE_SELECTOR, inference_containers
from conformance.security.agent import as_root
from conformance.security.claims import claimed
from conformance.security.images import containers_of, pods_of
from conformance.security.privileges import privileges
from fixtures.profile import Profile
from fixtures.target import Capability, Cluster, ContainerInfo, Deployment, EdgeNode, Evidence

# The devices that every container gets (OCI runtime specification, config-linux, default devices).
_ORDINARY = frozenset(
    {"null", "zero", "full", "random", "urandom", "tty", "console", "ptmx", "pts/ptmx"}
)
_BLOCK = "block"
_DEVICES = r"""
cd "/proc/$1/root/dev" || exit 1
find . \( -type b -o -type c \) | while read -r path; do
    [ -b "$path" ] && echo "block ${path#./}" || echo "character ${path#./}"
done
"""
# Mounts of the kubelet and the runtime for one pod; all else of the host is a leak.
_OWN_MOUNT = re.compile(
    r"/kubelet/pods/|/containerd/.*/(sandboxes|shm|resolv|hostname)|/sandboxes/"
)
_KERNEL_FILESYSTEMS = frozenset(
    {"proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup", "cgroup2", "devtmpfs", "overlay"}
)


@requirement(
    id="SEC-012",
    level="MUST",
    family="security",
    since="0.2",
    sentence="Pods of the inference server MUST NOT have more privileges than the profile claims.",
    why="A privileged pod is root on the device; a hole in a model's code then is one in the site.",
    source="Kubernetes documentation: Pod Security Standards; NIST SP 800-190 (4.4)",
)
def test_pods_have_only_the_claimed_privileges(
    edge: EdgeNode, cluster: Cluster, profile: Profile, evidence: Evidence
) -> None:
    """Read the specification of each pod on the node."""
    allowed = set(claimed(profile).pod_privileges)
    pods = [
        pod
        for pod in pods_of(cluster, INFERENCE_SELECTOR)
        if pod.spec is not None and pod.spec.node_name == edge.name
    ]
    assert pods, f"{edge.name} runs no pod with the label {INFERENCE_SELECTOR}"
    for pod in pods:
        name = pod.metadata.name if pod.metadata else ""
        found = privileges(pod)
        evidence.value(f"{edge.name} privileges of {name}", sorted(found))
        extra = sorted(found - allowed)
        assert not extra, explain(
            promised=f"pods of the inference server have at most {sorted(allowed)}",
            seen=f"pod {name} on {edge.name} also has {extra}",
            since="the pod was made",
            look=f"kubectl -n {cluster.namespace} get pod {name} -o yaml (securityContext, host*)",
        )


@requirement(
    id="SEC-013",
    level="MUST",
    family="security",
    since="0.2",
    sentence="A container of the inference server MUST see no block device and no file system of "
    "the host, and no device file beyond the ordinary ones and its accelerators.",
    why="With the host's disk in reach, a container's walls mean nothing.",
    source="Kubernetes documentation: Pod Security Standards (baseline); CNCF Kubernetes AI "
    "Conformance 1.37: secure_accelerator_access",
)
@pytest.mark.needs(Capability.RUN_COMMAND, Capability.KILL_CONTAINER)
def test_container_does_not_see_the_host(
    edge: EdgeNode, deployment: Deployment, evidence: Evidence
) -> None:
    """Look into the container's own view from the node: its /dev and its mounts."""
    require(edge, Capability.RUN_COMMAND, Capability.KILL_CONTAINER)
    for container in inference_containers(deployment, edge):
        devices = _devices(edge, container)
        extra = sorted(path for path, kind in devices.items() if path not in _ORDINARY)
        evidence.value(f"{edge.name} devices in {container.pod_name}", extra)
        blocks = sorted(path for path, kind in devices.items() if kind == _BLOCK)
        # What is there beyond the ordinary is the accelerator's, where the node has one; that
        # it is the right one is a requirement of placement.
        wrong = blocks or (extra if edge.accelerator is None else [])
        assert not wrong, explain(
            promised=f"{container.pod_name} sees no device of {edge.name} but its accelerators",
            seen=f"in its /dev: {', '.join(wrong)}",
            since="the container was made",
            look="whether it is privileged, and its hostPath volumes",
        )
        mounts = host_mounts(as_root(edge, 'cat "/proc/$1/mountinfo"', str(container.pid)))
        evidence.value(f"{edge.name} host mounts in {container.pod_name}", list(mounts))
        assert not mounts, explain(
            promised=f"{container.pod_name} sees no file system of {edge.name}",
            seen=f"mounted from the host: {', '.join(mounts)}",
            since="the container was made",
            look="its hostPath volumes",
        )


def _devices(edge: EdgeNode, container: ContainerInfo) -> dict[str, str]:
    lines = as_root(edge, _DEVICES, str(container.pid)).splitlines()
    found = {path: kind for kind, path in (line.split(" ", 1) for line in lines)}
    assert "null" in found, f"{edge.name}: {container.pod_name} has no /dev/null: wrong place"
    return {path: kind for path, kind in found.items() if not re.fullmatch(r"pts/\d+", path)}


def host_mounts(mountinfo: str) -> tuple[str, ...]:
    """Mounts that are a part of the host's disks and not one that kubelet or runtime made."""
    found = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        root, target = before.split()[3:5]
        filesystem = after.split()[0]
        if filesystem in _KERNEL_FILESYSTEMS or _OWN_MOUNT.search(root):
            continue
        found.append(f"{root} at {target} ({filesystem})")
    return tuple(found)


@requirement(
    id="SEC-015",
    level="MUST",
    family="security",
    since="0.2",
    sentence="Where the profile claims it, images of the inference server MUST be pulled by "
    "digest, and the running container MUST be of that digest.",
    why="A tag is whatever its registry says today; a digest is the program that was tested.",
    source="Kubernetes documentation: Images (image digests); SLSA 1.0",
)
def test_images_are_pulled_by_digest(
    edge: EdgeNode, cluster: Cluster, profile: Profile, evidence: Evidence
) -> None:
    """Compare the digest that a pod names with the one that the node says it runs."""
    if not claimed(profile).images_by_digest:
        pytest.skip(f"profile {profile.name} claims no pulls by digest (imagesByDigest: false)")
    pods = [
        pod
        for pod in pods_of(cluster, INFERENCE_SELECTOR)
        if pod.spec is not None and pod.spec.node_name == edge.name
    ]
    assert pods, f"{edge.name} runs no pod with the label {INFERENCE_SELECTOR}"
    for pod in pods:
        name = pod.metadata.name if pod.metadata else ""
        running = {
            one.name: one.image_id
            for one in (pod.status.container_statuses if pod.status else None) or ()
        }
        for container in containers_of(pod):
            image = container.image or ""
            digest = image.partition("@")[2]
            evidence.value(f"{edge.name} image of {name}/{container.name}", image)
            assert digest, explain(
                promised="images of the inference server are named by digest (imagesByDigest)",
                seen=f"{name}/{container.name} on {edge.name} runs {image}",
                since="the pod was made",
                look="the workload's image: registry/name@sha256:...",
            )
            told = running.get(container.name)
            assert told is None or digest in told, explain(
                promised=f"{name}/{container.name} runs {digest}",
                seen=f"{edge.name} says that it runs {told}",
                since="the container started",
                look="the registry, and the node's image store",
            )
