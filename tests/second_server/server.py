"""MLServer as a real process on loopback, with the suite's models."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import urllib3

from fixtures.target import wait_until
from tests.second_server.served import served_models

HOST = "127.0.0.1"
_RUNTIME = Path(__file__).with_name("runtime.py")
_START_TIMEOUT_S = 90.0
_STOP_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the server listens."""

    http: int
    grpc: int
    metrics: int


def write_repository(root: Path, ports: Ports) -> None:
    """Settings of the server, and all models."""
    settings = {
        "host": HOST,
        "http_port": ports.http,
        "grpc_port": ports.grpc,
        "metrics_port": ports.metrics,
        # The models run in the server's own process: they are small.
        "parallel_workers": 0,
        "debug": False,
    }
    root.mkdir(parents=True)
    (root / "settings.json").write_text(json.dumps(settings), "utf-8")
    for model in served_models():
        model.write(root, _RUNTIME.stem)


@contextmanager
def running(environment: Path, folder: Path) -> Iterator[Ports]:
    """Start the server and wait until it is ready; on exit it is stopped.

    ``folder`` gets the models and the server's log.
    """
    ports = free_ports()
    write_repository(folder / "models", ports)
    log = folder / "mlserver.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(environment / "bin" / "mlserver"), "start", str(folder / "models")],
            # It keeps its metrics' files below its working folder.
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(_RUNTIME.parent)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_ready(process, ports, log)
        yield ports
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_ready(process: subprocess.Popen[bytes], ports: Ports, log: Path) -> None:
    url = f"http://{HOST}:{ports.http}/v2/health/ready"

    def state() -> str:
        assert process.poll() is None, f"the server ended:\n{log.read_text('utf-8')[-4000:]}"
        answer = urllib3.request("GET", url, retries=False, timeout=5.0)
        return f"HTTP {answer.status}"

    wait_until(
        f"{url} (log: {log})",
        state,
        lambda seen: seen == "HTTP 200",
        _START_TIMEOUT_S,
        expected=(urllib3.exceptions.HTTPError,),
    )


def free_ports() -> Ports:
    """Ports of loopback that nobody has now; held together, so that they differ."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(3)]
        for one in sockets:
            one.bind((HOST, 0))
        return Ports(*(int(one.getsockname()[1]) for one in sockets))
