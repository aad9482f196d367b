"""A node made of real processes and sockets of this machine, small enough to break at will.

Its agent and its one container are child processes that a supervisor starts again when they die;
its cloud is a listening socket on loopback, and cutting the link closes it. No Kubernetes is
imitated: it is what the fault drivers act on when no deployment is there.
"""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from fixtures.target import (
    AcceleratorClaim,
    Capability,
    CommandResult,
    Component,
    ComponentUsage,
    ContainerInfo,
    Datastore,
    Endpoint,
    LinkPlan,
    LinkTraffic,
    ProcessMemory,
    Taint,
)

_POLL_S = 0.02


class Supervised:
    """One process that is started again ``restart_s`` after its death."""

    def __init__(self, restart_s: float) -> None:
        self._restart_s = restart_s
        self._stop = threading.Event()
        self._process: subprocess.Popen[bytes] | None = self._start()
        self.generation = 1
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int | None:
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @staticmethod
    def _start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(["sleep", "600"])

    def _watch(self) -> None:
        while not self._stop.wait(_POLL_S):
            if self._process is not None and self._process.poll() is not None:
                self._process = None
                if self._stop.wait(self._restart_s):
                    return
                self.generation += 1
                self._process = self._start()


class LocalLink:
    """A link to a listening socket; a timer of its own carries a plan out and heals it."""

    node = "local"

    def __init__(self, works: bool = True) -> None:
        self._works = works
        self._cloud: socket.socket | None = None
        self._port = 0
        self._lock = threading.Lock()
        self._disarm = threading.Event()
        self._timer: threading.Thread | None = None
        self._open()

    def inject(self, plan: LinkPlan) -> None:
        self.heal()
        if self._works:
            self._disarm = threading.Event()
            arguments = (plan, self._disarm)
            self._timer = threading.Thread(target=self._carry_out, args=arguments, daemon=True)
            self._timer.start()

    def heal(self) -> None:
        self._disarm.set()
        if self._timer is not None:
            self._timer.join()
        self._open()

    def is_cut(self) -> bool:
        return self._cloud is None

    def cloud_reachable_from_node(self, timeout_s: float) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self._port), timeout_s):
                return True
        except OSError:
            return False

    def dropped_packets(self) -> int:
        return 0

    def _carry_out(self, plan: LinkPlan, disarm: threading.Event) -> None:
        begun = time.monotonic()
        for phase in plan.phases:
            if disarm.wait(max(0.0, begun + phase.start_s - time.monotonic())):
                return
            self._close()
            ended = disarm.wait(
                max(0.0, begun + phase.start_s + phase.duration_s - time.monotonic())
            )
            self._open()
            if ended:
                return

    def _open(self) -> None:
        with self._lock:
            if self._cloud is None:
                self._cloud = socket.create_server(("127.0.0.1", self._port))
                self._port = self._cloud.getsockname()[1]

    def _close(self) -> None:
        with self._lock:
            if self._cloud is not None:
                self._cloud.close()
                self._cloud = None


class LocalPower:
    """Power that is a flag with a timer: the agent runs while it is on."""

    node = "local"

    def __init__(self) -> None:
        self._on = threading.Event()
        self._on.set()
        self._timer: threading.Timer | None = None

    def cut(self, off_s: float) -> None:
        self._timer = threading.Timer(off_s, self._on.set)
        self._timer.daemon = True
        self._timer.start()
        self._on.clear()

    def is_on(self) -> bool:
        return self._on.is_set()

    def restore(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._on.set()


class LocalNode:
    """The node: an ``EdgeNode`` with the capabilities that the drivers use."""

    name = "local"
    capabilities = frozenset(
        {
            Capability.LINK,
            Capability.POWER,
            Capability.RESTART_AGENT,
            Capability.RESTART_RUNTIME,
            Capability.KILL_CONTAINER,
        }
    )
    labels: Mapping[str, str] = {}
    taints: tuple[Taint, ...] = ()
    accelerator: AcceleratorClaim | None = None

    def __init__(self, link: LocalLink, agent: Supervised, container: Supervised) -> None:
        self._link = link
        self._power = LocalPower()
        self._agent = agent
        self._container = container

    @property
    def link(self) -> LocalLink:
        return self._link

    @property
    def power(self) -> LocalPower:
        return self._power

    @property
    def endpoint(self) -> Endpoint:
        raise NotImplementedError("a local node serves nothing")

    def run(self, argv: Sequence[str], timeout_s: float = 30.0) -> CommandResult:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout_s, check=False)
        return CommandResult(tuple(argv), done.returncode, done.stdout, done.stderr)

    def connect(self, host: str, port: int, timeout_s: float) -> socket.socket:
        return socket.create_connection((host, port), timeout_s)

    def containers(self) -> tuple[ContainerInfo, ...]:
        pid = self._container.pid
        if pid is None:
            return ()
        identity = f"container-{self._container.generation}"
        return (ContainerInfo(identity, "pod", "namespace", "uid", "server", pid, 0),)

    def exec_in_container(
        self, container: ContainerInfo, argv: Sequence[str], timeout_s: float = 30.0
    ) -> CommandResult:
        raise NotImplementedError("a local node's container is a process without a namespace")

    def kill_container(self, container: ContainerInfo) -> None:
        self._container.kill()

    def kill_agent(self) -> None:
        self._agent.kill()

    def agent_pid(self) -> int | None:
        return self._agent.pid

    def component_pid(self, component: Component) -> int | None:
        return self._agent.pid if component is Component.RUNTIME else None

    def kill_component(self, component: Component) -> None:
        self._agent.kill()

    def memory(self) -> tuple[ProcessMemory, ...]:
        return ()

    def disk_used_bytes(self) -> int:
        return 0

    def usage(self) -> tuple[ComponentUsage, ...]:
        return ()

    def link_traffic(self) -> LinkTraffic:
        raise NotImplementedError("a local node's link is a socket without counters")

    def datastores(self) -> tuple[Datastore, ...]:
        return ()

    def set_accelerator_health(self, device_index: int, healthy: bool) -> None:
        raise NotImplementedError("a local node has no accelerator")


@contextmanager
def local_node(*, link_works: bool = True, restart_s: float = 0.1) -> Iterator[LocalNode]:
    """A node for a block; its processes are gone afterwards."""
    agent, container = Supervised(restart_s), Supervised(restart_s)
    link = LocalLink(link_works)
    try:
        yield LocalNode(link, agent, container)
    finally:
        link.heal()
        agent.close()
        container.close()
