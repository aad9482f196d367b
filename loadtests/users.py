"""The Locust side of the open loop: users that send what the loop releases.

Importing this module imports Locust, which patches the standard library for gevent: only the
generator's own process may do so.
"""

from __future__ import annotations

from typing import ClassVar

from locust import User, constant, task
from locust.env import Environment

from loadtests.clients import Answer
from loadtests.errors import LoadError
from loadtests.openloop import OpenLoop
from loadtests.records import Outcome
from loadtests.spec import LoadSpec


class RequestFailed(LoadError):
    """A request was not answered well; told to Locust, which groups failures by their text."""


def environment_for(loop: OpenLoop, spec: LoadSpec) -> Environment:
    """A Locust environment whose users serve ``loop``, with Locust's own statistics of it."""

    class InferenceUser(User):
        """One of the senders: takes a released request, sends it, and takes the next."""

        wait_time = constant(0)
        open_loop: ClassVar[OpenLoop] = loop

        @task
        def serve_one(self) -> None:
            self.open_loop.serve_next(self._tell)

        def _tell(self, latency_ms: float, answer: Answer) -> None:
            failed = answer.outcome is not Outcome.OK
            self.environment.events.request.fire(
                request_type=spec.protocol,
                name=spec.model,
                response_time=latency_ms,
                response_length=answer.response_bytes,
                exception=RequestFailed(answer.outcome.label) if failed else None,
                context={},
            )

    return Environment(user_classes=[InferenceUser], catch_exceptions=True)
