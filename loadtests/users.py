"""The Locust side of a load: users that send what the loop decides.

Importing this module imports Locust, which patches the standard library for gevent: only the
generator's own process may do so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar

from gevent.event import Event
from locust import User, constant, task
from locust.env import Environment

from loadtests.clients import Answer
from loadtests.errors import GeneratorFailed, LoadError
from loadtests.ledger import Loop
from loadtests.records import Outcome
from loadtests.spec import Protocol


class RequestFailed(LoadError):
    """A request was not answered well; told to Locust, which groups failures by their text."""


def environment_for(loop: Loop, protocol: Protocol, models: Sequence[str]) -> Environment:
    """A Locust environment whose users serve ``loop``, with Locust's own statistics of it.

    ``models`` are the names of the loop's targets.
    """

    class InferenceUser(User):
        """One of the senders: sends a request as the loop says, and then the next."""

        wait_time = constant(0)
        served: ClassVar[Loop] = loop

        @task
        def serve_one(self) -> None:
            self.served.serve_next(self._tell)

        def _tell(self, target: int, latency_ms: float, answer: Answer) -> None:
            failed = answer.outcome is not Outcome.OK
            self.environment.events.request.fire(
                request_type=protocol,
                name=models[target],
                response_time=latency_ms,
                response_length=answer.response_bytes,
                exception=RequestFailed(answer.outcome.label) if failed else None,
                context={},
            )

    return Environment(user_classes=[InferenceUser], catch_exceptions=True)


@contextmanager
def senders(environment: Environment, count: int, timeout_s: float) -> Iterator[None]:
    """Let so many users run while the block does.

    Raises:
        GeneratorFailed: Locust did not spawn them in time.
    """
    spawned = Event()
    environment.events.spawning_complete.add_listener(  # type: ignore[no-untyped-call]
        lambda **_: spawned.set()
    )
    runner = environment.create_local_runner()
    try:
        runner.start(user_count=count, spawn_rate=count)
        if not spawned.wait(timeout_s):
            raise GeneratorFailed(f"Locust did not spawn {count} users within {timeout_s:g} s")
        yield
    finally:
        runner.quit()
