"""The small workloads of the offline episode, each of which shows one promise.

Their scripts use builtins of the shell, ``cat`` and ``sleep`` only: any image has those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kubernetes import client

from conformance.workloads import MANAGED_BY, PROBE_GRACE_S, SUITE, tolerations
from fixtures.target import Cluster, EdgeNode

APP = "edge-conformance/app"
GENERATION = "GENERATION"
SETTINGS = "settings"
CREDENTIALS = "credentials"
VALUE = "value"
FIRST, LAST = "first", "third"
"""What ConfigMap and Secret say before the cut, and what the cloud made of them in the end."""

KEPT_FOLDER = "/var/tmp"
"""What is written there outlives a boot on every system (Filesystem Hierarchy Standard)."""

_AWAY = ("node.kubernetes.io/unreachable", "node.kubernetes.io/not-ready")
FOREVER = "exec sleep 1000000"
_SPILL = (
    "line=x; n=0; while [ $n -lt 16 ]; do line=$line$line; n=$((n+1)); done; "
    'n=0; while [ $n -lt 1024 ]; do echo "$line" >>/spilled; n=$((n+1)); done'
)
"""64 MiB into the container's own file system."""
SPILL_LIMIT = "16Mi"


def patient(edge: EdgeNode) -> list[client.V1Toleration]:
    """Tolerations of a pod that belongs on this node, however long the node is away."""
    away = [client.V1Toleration(key=key, operator="Exists") for key in _AWAY]
    return [*tolerations(edge.taints), *away]


def impatient(edge: EdgeNode) -> list[client.V1Toleration]:
    """Tolerations of a pod that the cloud deletes as soon as it has given the node up."""
    away = [
        client.V1Toleration(key=key, operator="Exists", effect="NoExecute", toleration_seconds=1)
        for key in _AWAY
    ]
    return [*tolerations(edge.taints), *away]


def on_node(name: str) -> client.V1Affinity:
    """The affinity of a pod that runs on this node and nowhere else."""
    term = client.V1NodeSelectorTerm(
        match_fields=[
            client.V1NodeSelectorRequirement(key="metadata.name", operator="In", values=[name])
        ]
    )
    return client.V1Affinity(
        node_affinity=client.V1NodeAffinity(
            required_during_scheduling_ignored_during_execution=client.V1NodeSelector(
                node_selector_terms=[term]
            )
        )
    )


@dataclass(frozen=True, slots=True)
class Traits:
    """What sets a pod apart from one that only runs its script.

    ``files`` are volumes by name, each mounted in the folder of that name.
    """

    liveness: client.V1Probe | None = None
    readiness: client.V1Probe | None = None
    restart: str = "Always"
    generation: str | None = None
    disk_limit: str | None = None
    tolerations: Sequence[client.V1Toleration] | None = None
    files: Sequence[client.V1Volume] = ()
    neighbour: str | None = None


class Objects:
    """Makes the objects, for one node and in one namespace."""

    def __init__(self, cluster: Cluster, edge: EdgeNode, namespace: str) -> None:
        self._cluster = cluster
        self._edge = edge
        self._namespace = namespace

    def pod(self, name: str, script: str = FOREVER, traits: Traits | None = None) -> client.V1Pod:
        """A pod that runs the script, with a folder ``/work`` of its own."""
        return client.V1Pod(
            api_version="v1",
            kind="Pod",
            metadata=self._meta(name),
            spec=self._spec(script, traits or Traits()),
        )

    def alive(self) -> client.V1Pod:
        """Fails its liveness probe as soon as /work/alive says anything but yes."""
        probe = _says_yes("/work/alive", initial_delay_s=2)
        return self.pod("alive", f"echo yes >/work/alive; {FOREVER}", Traits(liveness=probe))

    def ready(self) -> client.V1Pod:
        """Is ready while /work/ready says yes."""
        probe = _says_yes("/work/ready")
        return self.pod("ready", f"echo yes >/work/ready; {FOREVER}", Traits(readiness=probe))

    def cached(self) -> client.V1Pod:
        """Is killed while the cloud is away."""
        return self.pod("cached")

    def crashing(self) -> client.V1Pod:
        """Crashes again and again once it is told to; its neighbour keeps the times of starts."""
        script = f"cat /proc/uptime >>/work/starts; {_until_yes('/work/crash')}; exit 1"
        return self.pod("crashing", script, Traits(neighbour="keeper"))

    def finishing(self) -> client.V1Pod:
        """Ends well once it is told to."""
        script = f"{_until_yes('/work/finish')}; exit 0"
        return self.pod("finishing", script, Traits(restart="Never"))

    def spilling(self) -> client.V1Pod:
        """Fills more of the node's disk than its limit allows, once it is told to."""
        script = f"{_until_yes('/work/spill')}; {_SPILL}; {FOREVER}"
        return self.pod("spilling", script, Traits(restart="Never", disk_limit=SPILL_LIMIT))

    def doomed(self) -> client.V1Pod:
        """Is marked for deletion by the cloud as soon as that has given the node up."""
        return self.pod("doomed", traits=Traits(tolerations=impatient(self._edge)))

    def reader(self, *more: client.V1Volume) -> client.V1Pod:
        """Has a ConfigMap and a Secret as files, and more volumes if given."""
        files = (
            *more,
            client.V1Volume(
                name=SETTINGS, config_map=client.V1ConfigMapVolumeSource(name=SETTINGS)
            ),
            client.V1Volume(
                name=CREDENTIALS, secret=client.V1SecretVolumeSource(secret_name=CREDENTIALS)
            ),
        )
        return self.pod("reader", traits=Traits(files=files))

    def settings(self) -> client.V1ConfigMap:
        """The ConfigMap, as it is before the cut."""
        return client.V1ConfigMap(
            api_version="v1", kind="ConfigMap", metadata=self._meta(SETTINGS), data={VALUE: FIRST}
        )

    def credentials(self) -> client.V1Secret:
        """The Secret, as it is before the cut."""
        return client.V1Secret(
            api_version="v1",
            kind="Secret",
            metadata=self._meta(CREDENTIALS),
            string_data={VALUE: FIRST},
        )

    def replicas(self, name: str, count: int) -> client.V1Deployment:
        """A Deployment of ``count`` sleeping pods, whose environment tells its generation."""
        return client.V1Deployment(
            api_version="apps/v1",
            kind="Deployment",
            metadata=self._meta(name),
            spec=client.V1DeploymentSpec(
                replicas=count,
                selector=client.V1LabelSelector(match_labels={APP: name}),
                template=client.V1PodTemplateSpec(
                    metadata=client.V1ObjectMeta(labels=_labels(name)),
                    spec=self._spec(FOREVER, Traits(generation="1")),
                ),
            ),
        )

    def _meta(self, name: str) -> client.V1ObjectMeta:
        return client.V1ObjectMeta(name=name, namespace=self._namespace, labels=_labels(name))

    def _spec(self, script: str, traits: Traits) -> client.V1PodSpec:
        work = client.V1Volume(name="work", empty_dir=client.V1EmptyDirVolumeSource())
        volumes = [work, *traits.files]
        containers = [self._container("probe", script, volumes, traits)]
        if traits.neighbour is not None:
            containers.append(self._container(traits.neighbour, FOREVER, volumes, Traits()))
        return client.V1PodSpec(
            automount_service_account_token=False,
            enable_service_links=False,
            termination_grace_period_seconds=PROBE_GRACE_S,
            affinity=on_node(self._edge.name),
            tolerations=list(traits.tolerations or patient(self._edge)),
            restart_policy=traits.restart,
            volumes=volumes,
            containers=containers,
        )

    def _container(
        self, name: str, script: str, volumes: Sequence[client.V1Volume], traits: Traits
    ) -> client.V1Container:
        limits = {} if traits.disk_limit is None else {"ephemeral-storage": traits.disk_limit}
        environment = (
            []
            if traits.generation is None
            else [client.V1EnvVar(name=GENERATION, value=traits.generation)]
        )
        return client.V1Container(
            name=name,
            image=self._cluster.probe_image,
            image_pull_policy="IfNotPresent",
            command=["sh", "-c", script],
            env=environment,
            resources=client.V1ResourceRequirements(limits=limits),
            liveness_probe=traits.liveness,
            readiness_probe=traits.readiness,
            volume_mounts=[
                client.V1VolumeMount(name=volume.name, mount_path=f"/{volume.name}")
                for volume in volumes
            ],
        )


def _labels(name: str) -> dict[str, str]:
    return {APP: name, MANAGED_BY: SUITE}


def _until_yes(file: str) -> str:
    return f'while [ "$(cat {file} 2>/dev/null)" != yes ]; do sleep 1; done'


def _says_yes(file: str, initial_delay_s: int = 0) -> client.V1Probe:
    return client.V1Probe(
        _exec=client.V1ExecAction(command=["sh", "-c", f'[ "$(cat {file})" = yes ]']),
        initial_delay_seconds=initial_delay_s,
        period_seconds=2,
        timeout_seconds=5,
        failure_threshold=1,
    )
