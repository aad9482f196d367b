"""The suite's own models on a server: loaded while tests use them, where the profile allows it."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from conformance.errors import AnswerError
from conformance.inference import HttpClient
from fixtures.profile import ConformanceRole, Serving
from fixtures.target import EdgeNode, Endpoint, wait_until

_LOAD_TIMEOUT_S = 60.0
_UNLOAD_TIMEOUT_S = 30.0
_LOADED_BY_SUITE = "loaded"


class ModelRepository:
    """The server's model control API over HTTP."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def ready(self, model: str) -> bool:
        """Whether the server says that the model is ready."""
        return self._send("GET", f"v2/models/{model}/ready")[0] == 200

    def load(self, model: str) -> None:
        """Load the model and wait until it is ready.

        Raises:
            AnswerError: the server refused.
            WaitTimeout: the model did not become ready.
        """
        self._command(model, "load")
        wait_until(f"{model} loaded", lambda: self.ready(model), bool, _LOAD_TIMEOUT_S)

    def unload(self, model: str) -> None:
        """Unload the model and wait until it is no longer ready.

        Raises:
            AnswerError: the server refused.
            WaitTimeout: the model stayed ready.
        """
        self._command(model, "unload")
        wait_until(
            f"{model} unloaded",
            lambda: self.ready(model),
            lambda ready: not ready,
            _UNLOAD_TIMEOUT_S,
        )

    def index(self) -> dict[tuple[str, str], str]:
        """State of each model and version in the repository; an unloaded model has none.

        Raises:
            AnswerError: the server did not answer with an index.
        """
        status, body = self._send("POST", "v2/repository/index")
        if status != 200:
            raise AnswerError(f"repository index: HTTP {status}: {body[:200]!r}")
        return {
            (str(entry["name"]), str(entry.get("version", ""))): str(entry.get("state", ""))
            for entry in json.loads(body)
        }

    def _command(self, model: str, what: str) -> None:
        status, body = self._send("POST", f"v2/repository/models/{model}/{what}")
        if status != 200:
            raise AnswerError(f"{what} of {model}: HTTP {status}: {body[:300]!r}")

    def _send(self, method: str, path: str) -> tuple[int, bytes]:
        client = HttpClient(self._endpoint, _LOAD_TIMEOUT_S)
        try:
            response = client.send(method, path)
            return response.status, response.data
        finally:
            client.close()


@dataclass(frozen=True, slots=True)
class ModelUse:
    """Who uses the suite's models, over all processes of a run: locks in the folder of the run.

    A model is loaded by its first user and unloaded by the one that leaves last, and only if the
    suite loaded it.
    """

    serving: Serving
    folder: Path

    @contextmanager
    def held(self, edge: EdgeNode, role: ConformanceRole) -> Iterator[str]:
        """The ready model of a role that the profile names, from now until the block's end."""
        model = self.serving.conformance[role]
        with self._open(edge, model, "users") as users:
            fcntl.flock(users, fcntl.LOCK_SH)
            try:
                yield model
            finally:
                with self._gate(edge, model):
                    if _last_to_leave(users) and _loaded_by_suite(users):
                        users.truncate(0)
                        ModelRepository(edge.endpoint).unload(model)

    def ensure_ready(self, edge: EdgeNode, role: ConformanceRole) -> None:
        """See that the model is ready; load it if need be, for its server may have restarted.

        Raises:
            AnswerError: it is not ready, and the suite may not load it or the server refused.
        """
        model = self.serving.conformance[role]
        repository = ModelRepository(edge.endpoint)
        with self._gate(edge, model), self._open(edge, model, "users") as users:
            if repository.ready(model):
                return
            if not self.serving.model_control:
                raise AnswerError(
                    f"{edge.name}: serving.conformance names {model} for {role}, which is not "
                    "ready, and without serving.modelControl the suite does not load it"
                )
            repository.load(model)
            users.write(_LOADED_BY_SUITE)

    @contextmanager
    def turn(self, edge: EdgeNode, role: ConformanceRole, *, alone: bool) -> Iterator[None]:
        """Wait for a turn with the model: beside other tests, or ``alone``."""
        with self._open(edge, self.serving.conformance[role], "turn") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            yield

    @contextmanager
    def _gate(self, edge: EdgeNode, model: str) -> Iterator[None]:
        with self._open(edge, model, "gate") as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)
            yield

    def _open(self, edge: EdgeNode, model: str, what: str) -> IO[str]:
        self.folder.mkdir(parents=True, exist_ok=True)
        return (self.folder / f"{edge.name}.{model}.{what}").open("a+")


def _last_to_leave(users: IO[str]) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _loaded_by_suite(users: IO[str]) -> bool:
    users.seek(0)
    return users.read() != ""
