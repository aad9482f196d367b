"""What a pod may do beyond an ordinary one, in the words of the profile."""

from __future__ import annotations

from kubernetes import client

from conformance.security.images import containers_of


def privileges(pod: client.V1Pod) -> frozenset[str]:
    """The privileges that a pod has by its specification (`security.podPrivileges`)."""
    spec = pod.spec
    if spec is None:
        raise AssertionError("a pod from the API server has a spec")
    found = {
        "hostNetwork": bool(spec.host_network),
        "hostPID": bool(spec.host_pid),
        "hostIPC": bool(spec.host_ipc),
        "hostPath": any(volume.host_path is not None for volume in spec.volumes or ()),
    }
    for container in containers_of(pod):
        own = container.security_context or client.V1SecurityContext()
        added = own.capabilities.add if own.capabilities else None
        for name, has in (
            ("privileged", bool(own.privileged)),
            ("addedCapabilities", bool(added)),
            # Kubernetes allows it where nothing is said.
            ("privilegeEscalation", own.allow_privilege_escalation is not False),
            ("rootUser", _may_be_root(spec.security_context, own)),
        ):
            found[name] = found.get(name, False) or has
    return frozenset(name for name, has in found.items() if has)


def _may_be_root(
    pod: client.V1PodSecurityContext | None, container: client.V1SecurityContext
) -> bool:
    def first(name: str) -> object:
        own = getattr(container, name)
        return own if own is not None else getattr(pod, name, None)

    user = first("run_as_user")
    return user == 0 or (user is None and first("run_as_non_root") is not True)
