"""Ways to break a real deployment, one promise at a time, each undone on exit."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import urllib3
from kubernetes import client

from fixtures.target import (
    AcceleratorClaim,
    Cluster,
    ContainerInfo,
    EdgeNode,
    Endpoint,
    JsonValue,
    wait_until,
)

MERGE_PATCH = "application/merge-patch+json"
AGENT_SERVICE = "/run/service/edgecore"
AGENT_STORE = "/var/lib/kubeedge/edgecore.db"
_KEPT = f"{AGENT_STORE}.kept"
_TIMEOUT_S = 60.0

# A model version that answers every request with zeros, in the shape that is promised.
_ZEROS_MODEL = """
import json
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        config = json.loads(args["model_config"])
        self.input = config["input"][0]["name"]
        self.output = config["output"][0]["name"]
        self.shape = [int(size) for size in config["output"][0]["dims"]]

    def execute(self, requests):
        answers = []
        for request in requests:
            tensor = pb_utils.get_input_tensor_by_name(request, self.input)
            rows = tensor.as_numpy().shape[0]
            zeros = np.zeros([rows, *self.shape], dtype=np.float32)
            share = pb_utils.Tensor(self.output, zeros)
            answers.append(pb_utils.InferenceResponse([share]))
        return answers
"""


def on_node(edge: EdgeNode, script: str) -> str:
    """Run a shell script on the node; a failure of it is the test's."""
    done = edge.run(["sh", "-c", script], timeout_s=_TIMEOUT_S)
    assert done.exit_code == 0, f"{edge.name}: {script}: exit {done.exit_code}: {done.stderr}"
    return done.stdout


@contextmanager
def untainted(core: client.CoreV1Api, node: str) -> Iterator[None]:
    """Take all taints off a node."""
    spec = core.read_node(node).spec
    taints = core.api_client.sanitize_for_serialization(spec.taints if spec else None)
    assert taints, f"node {node} has no taint to take off"

    def patch(value: JsonValue) -> None:
        core.patch_node(node, {"spec": {"taints": value}}, _content_type=MERGE_PATCH)

    patch(None)
    try:
        yield
    finally:
        patch(taints)


def offer_more(core: client.CoreV1Api, node: str, resource: str, count: int) -> Callable[[], None]:
    """An action that makes the cloud believe in more devices, until the agent's next report."""

    def act() -> None:
        body = {"status": {side: {resource: str(count)} for side in ("allocatable", "capacity")}}
        core.patch_node_status(node, body, _content_type=MERGE_PATCH)

    return act


def allocatable_again(cluster: Cluster, node: str, resource: str, count: int) -> None:
    """Wait until the agent has set the node's device count right."""
    wait_until(
        f"allocatable {resource} of {node} is {count} again",
        lambda: cluster.node(node).allocatable.get(resource, 0),
        lambda seen: seen == count,
        _TIMEOUT_S,
    )


def _signal(edge: EdgeNode, container: ContainerInfo, name: str) -> None:
    # Every process of the container's pid namespace, wherever its first process forked.
    on_node(edge, f"pkill -{name} --ns {container.pid} --nslist pid .")


def freeze_for_good(edge: EdgeNode, container: ContainerInfo) -> None:
    """Freeze a container that the test itself removes: SIGKILL ends frozen processes too."""
    _signal(edge, container, "STOP")


@contextmanager
def thawed_at_end(edge: EdgeNode, container: ContainerInfo) -> Iterator[Callable[[], None]]:
    """Gives the action that freezes every process of a container; thaws them on exit."""
    try:
        yield lambda: _signal(edge, container, "STOP")
    finally:
        _signal(edge, container, "CONT")


@contextmanager
def device_plugin_frozen(edge: EdgeNode) -> Iterator[None]:
    """Freeze the device plugin, which is a service of the node."""
    # Written as a pattern that does not match the shell that it is written in.
    plugin = "'[e]dge_device_plugin'"
    try:
        on_node(edge, f"pkill -STOP -f {plugin}")
        yield
    finally:
        on_node(edge, f"pkill -CONT -f {plugin}")


def _device_files(claim: AcceleratorClaim) -> tuple[str, ...]:
    kind = claim.resource.rpartition("/")[2]
    return tuple(f"/dev/edge-{kind}{index}" for index in range(claim.count))


def remove_devices(edge: EdgeNode, claim: AcceleratorClaim) -> None:
    """Take the node's device files away; containers that have one keep theirs."""
    on_node(edge, f"rm -f {' '.join(_device_files(claim))}")


def replace_devices(edge: EdgeNode, claim: AcceleratorClaim, minor: int) -> None:
    """Give the node device files of this minor number of /dev/mem's driver: 3 null, 5 zero."""
    for file in _device_files(claim):
        on_node(edge, f"rm -f {file} && mknod -m 0666 {file} c 1 {minor}")


@contextmanager
def devices_restored(edge: EdgeNode, claim: AcceleratorClaim) -> Iterator[None]:
    """Whatever becomes of the node's device files in the block, they are whole afterwards."""
    try:
        yield
    finally:
        replace_devices(edge, claim, 5)


@contextmanager
def stray_device(edge: EdgeNode, container: ContainerInfo, name: str) -> Iterator[None]:
    """Put a device file into a container that no plugin allocated to it."""
    path = f"/proc/{container.pid}/root/dev/{name}"
    on_node(edge, f"mknod -m 0666 {path} c 1 5")
    try:
        yield
    finally:
        on_node(edge, f"rm -f {path}")


@contextmanager
def agent_down(edge: EdgeNode) -> Iterator[None]:
    """Stop the agent and keep the service manager from starting it."""
    on_node(edge, f"sv -w 20 down {AGENT_SERVICE}")
    try:
        yield
    finally:
        on_node(edge, f"sv -w 20 up {AGENT_SERVICE}")


@contextmanager
def forgetful_agent(edge: EdgeNode) -> Iterator[None]:
    """Take the agent's store away from its next start: it has no pods to restore offline."""
    on_node(edge, f"mv {AGENT_STORE} {_KEPT}")
    try:
        yield
    finally:
        restore = (
            f"sv -w 20 down {AGENT_SERVICE} && rm -f {AGENT_STORE} {AGENT_STORE}-* && "
            f"mv {_KEPT} {AGENT_STORE}; code=$?; sv -w 20 up {AGENT_SERVICE}; exit $code"
        )
        on_node(edge, restore)


class ModelControl:
    """The explicit model control API of one server."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._base = endpoint.http_url
        self._pool = urllib3.PoolManager(retries=False, timeout=_TIMEOUT_S)

    def config(self, model: str) -> dict[str, Any]:
        """The model's present configuration."""
        found: dict[str, Any] = json.loads(self._send("GET", f"v2/models/{model}/config"))
        return found

    def unload(self, model: str) -> None:
        """Unload the model, and wait until the server has let go of it."""
        self._send("POST", f"v2/repository/models/{model}/unload")
        wait_until(
            f"model {model} unloaded",
            lambda: self._state(model),
            lambda state: state == "unloaded",
            30.0,
        )

    def load(self, model: str, parameters: Mapping[str, str] | None = None) -> None:
        """Load the model, from the repository or as the parameters say."""
        body = json.dumps({"parameters": dict(parameters)}) if parameters else ""
        self._send("POST", f"v2/repository/models/{model}/load", body)

    def _state(self, model: str) -> str:
        index = json.loads(self._send("POST", "v2/repository/index"))
        found = [entry for entry in index if entry["name"] == model]
        return str(found[0].get("reason") or found[0].get("state")) if found else "absent"

    def _send(self, method: str, path: str, body: str = "") -> bytes:
        answer = self._pool.request(method, f"{self._base}/{path}", body=body.encode())
        assert answer.status == 200, f"{method} {path}: HTTP {answer.status}: {answer.data!r}"
        return answer.data


@contextmanager
def unloaded(endpoint: Endpoint, model: str) -> Iterator[None]:
    """Unload a model that is claimed."""
    control = ModelControl(endpoint)
    control.unload(model)
    try:
        yield
    finally:
        control.load(model)


@contextmanager
def reconfigured(
    endpoint: Endpoint, model: str, change: Callable[[dict[str, Any]], None], source: str = ""
) -> Iterator[None]:
    """Serve another version of a model: another configuration, and other code if given.

    A load alone keeps what is loaded when the repository has not changed, so the model is
    unloaded before each load.
    """
    control = ModelControl(endpoint)
    config = control.config(model)
    change(config)
    parameters = {"config": json.dumps(config)}
    if source:
        parameters["file:1/model.py"] = base64.b64encode(source.encode()).decode()
    control.unload(model)
    try:
        control.load(model, parameters)
        yield
    finally:
        control.unload(model)
        control.load(model)


@contextmanager
def answering_zeros(endpoint: Endpoint, model: str) -> Iterator[None]:
    """Serve a version of the model whose every answer is zero."""
    with reconfigured(endpoint, model, lambda config: None, _ZEROS_MODEL):
        yield
