"""A client of the site that knows several addresses of one service, and asks the next in need."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from types import TracebackType

import urllib3

from conformance.errors import AnswerError
from conformance.inference import Failure, HttpClient, PreparedRequest, check_response, prepare
from fixtures.target import Endpoint, GoldenSample

_INTERVAL_S = 0.05
_TIMEOUT_S = 5.0
# What a server or a gateway answers that cannot take the request now: another may.
_TRY_ANOTHER = frozenset({502, 503, 504})


@dataclass(frozen=True, slots=True)
class FailoverReport:
    """What the client saw: right answers by address, requests that asked a second, failures."""

    begun_ns: int
    answered: Mapping[str, int]
    second_asked: int
    failures: tuple[Failure, ...]

    def describe(self) -> str:
        """How many failed, and the first of them."""
        total = sum(self.answered.values())
        if not self.failures:
            return f"{total} right answers, none failed"
        first = self.failures[0]
        return (
            f"{len(self.failures)} of {total + len(self.failures)} requests failed; the first, "
            f"{(first.at_ns - self.begun_ns) / 1e9:.1f} s after the watch began: {first.error}"
        )


class FailoverClient:
    """Asks golden samples of addresses in turn, in a thread.

    A request that gets no answer, or the answer that the server cannot serve now, is asked of the
    next address: inference changes nothing, so it may be asked twice. It has failed when no
    address answers it, or one answers it wrongly.
    """

    def __init__(self, endpoints: Mapping[str, Endpoint], samples: Sequence[GoldenSample]) -> None:
        self._clients = {name: HttpClient(one, _TIMEOUT_S) for name, one in endpoints.items()}
        self._requests = [prepare(sample, binary=False) for sample in samples]
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._answered: Counter[str] = Counter()
        self._second = 0
        self._failures: list[Failure] = []
        self._begun_ns = 0
        self._thread = threading.Thread(target=self._run, name="failover-client", daemon=True)

    def __enter__(self) -> FailoverClient:
        self._begun_ns = time.monotonic_ns()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        for one in self._clients.values():
            one.close()

    def report(self) -> FailoverReport:
        """What was seen by now."""
        with self._lock:
            return FailoverReport(
                self._begun_ns, dict(self._answered), self._second, tuple(self._failures)
            )

    def _run(self) -> None:
        names = list(self._clients)
        for number, request in enumerate(cycle(self._requests)):
            # Each address is the first asked in turn, as round-robin name service would have it.
            start = number % len(names)
            self._ask([*names[start:], *names[:start]], request)
            if self._stop.wait(_INTERVAL_S):
                return

    def _ask(self, names: Sequence[str], request: PreparedRequest) -> None:
        sent_ns = time.monotonic_ns()
        refusals: list[str] = []
        for name in names:
            try:
                response = self._clients[name].send_request(request)
            except AnswerError as error:
                refusals.append(f"{name}: {error}")
                continue
            if response.status in _TRY_ANOTHER:
                refusals.append(f"{name}: HTTP {response.status}")
                continue
            self._judge(name, request, response, sent_ns, asked=len(refusals) + 1)
            return
        with self._lock:
            self._failures.append(Failure(sent_ns, "; ".join(refusals)))

    def _judge(
        self,
        name: str,
        request: PreparedRequest,
        response: urllib3.BaseHTTPResponse,
        sent_ns: int,
        *,
        asked: int,
    ) -> None:
        problem = ""
        try:
            check_response(request, response)
        except AnswerError as error:
            problem = f"{name}: {error}"
        with self._lock:
            self._second += asked > 1
            if problem:
                self._failures.append(Failure(sent_ns, problem))
            else:
                self._answered[name] += 1
