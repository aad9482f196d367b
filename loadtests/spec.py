"""What a generator process is told, and what it says of itself: plain data in JSON files."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from loadtests.errors import SpecError

Protocol = Literal["http", "grpc"]
State = Literal["starting", "running", "done", "failed"]

_MAX_IN_FLIGHT = 1024


@dataclass(frozen=True, slots=True)
class Target:
    """A model that is asked, with how many items at once, and how often beside the others.

    ``golden_file`` holds its inputs and right answers (``loadtests.golden``).
    """

    model: str
    batch: int
    weight: float
    golden_file: str
    atol: float

    def __post_init__(self) -> None:
        """Refuse values that no target can have."""
        _above_zero(f"target {self.model!r}", self, ("batch", "weight"))


@dataclass(frozen=True, slots=True)
class ClosedPlan:
    """A closed loop: senders, and how long; over when both minima are met, or at the limit."""

    concurrency: int
    minimum_s: float
    minimum_requests: int
    limit_s: float

    def __post_init__(self) -> None:
        """Refuse values that no closed loop can have."""
        _above_zero("closed loop", self, ("concurrency", "minimum_s", "limit_s"))
        if self.limit_s < self.minimum_s:
            raise SpecError(
                f"closed loop: limit_s: found {self.limit_s:g}, "
                f"expected at least minimum_s, {self.minimum_s:g}"
            )


@dataclass(frozen=True, slots=True)
class LoadSpec:
    """One load: what is sent where, when, and where it is written down.

    ``schedule_file`` is the whole of an open loop (``loadtests.schedule``); None for a closed one,
    which ``closed`` describes. ``arrival`` is a word for people, ``rate_per_s`` the mean rate of
    the schedule (0 in a closed loop), ``duration_s`` the longest that the load lasts.

    ``timeout_s`` bounds a request from its actual start; ``in_flight_limit`` is how many may be
    unanswered at once (one more is not sent but recorded as dropped); ``ready_timeout_s`` bounds
    the wait for the first good answer; ``calibration_s`` is for how long the generator first
    measures itself against a server that does nothing (0: not at all). The generator ends when
    ``parent_pid`` does.
    """

    name: str
    targets: tuple[Target, ...]
    protocol: Protocol
    host: str
    port: int
    arrival: str
    rate_per_s: float
    duration_s: float
    seed: int
    schedule_file: str | None
    closed: ClosedPlan | None
    timeout_s: float
    in_flight_limit: int
    ready_timeout_s: float
    calibration_s: float
    record_file: str
    status_file: str
    parent_pid: int

    def __post_init__(self) -> None:
        """Refuse values that no load can have."""
        if self.protocol not in ("http", "grpc"):
            raise SpecError(
                f"load {self.name!r}: protocol: found {self.protocol!r}, expected one of http, grpc"
            )
        if not self.targets:
            raise SpecError(f"load {self.name!r}: targets: found none, expected one at least")
        if (self.schedule_file is None) == (self.closed is None):
            raise SpecError(
                f"load {self.name!r}: found a schedule_file {self.schedule_file!r} and a closed "
                f"loop {self.closed!r}, expected one of them"
            )
        _above_zero(
            f"load {self.name!r}",
            self,
            ("duration_s", "timeout_s", "in_flight_limit", "ready_timeout_s"),
        )

    @property
    def model(self) -> str:
        """The model, or all of them, for people."""
        return ", ".join(target.model for target in self.targets)

    def write(self, path: Path) -> None:
        """Write the specification as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> LoadSpec:
        """Read a specification; SpecError names the file and what is wrong."""
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SpecError(f"{path}: not a readable load specification: {error}") from error
        _expect_fields(cls, data, str(path))
        targets = [_built(Target, one, f"{path}: targets") for one in data["targets"]]
        closed = data["closed"]
        return cls(
            **{
                **data,
                "targets": tuple(targets),
                "closed": None if closed is None else _built(ClosedPlan, closed, f"{path}: closed"),
            }
        )


def _built(kind: type[Any], data: object, where: str) -> Any:
    _expect_fields(kind, data, where)
    return kind(**data)  # type: ignore[arg-type]


def _expect_fields(kind: type[Any], data: object, where: str) -> None:
    expected = {field.name for field in fields(kind)}
    found = set(data) if isinstance(data, dict) else set()
    if found != expected:
        raise SpecError(
            f"{where}: missing fields: {sorted(expected - found) or 'none'}; "
            f"unknown fields: {sorted(found - expected) or 'none'}"
        )


def _above_zero(what: str, data: object, names: tuple[str, ...]) -> None:
    for name in names:
        value = getattr(data, name)
        if not (math.isfinite(value) and value > 0):
            raise SpecError(f"{what}: {name}: found {value!r}, expected a number above 0")


def default_in_flight_limit(rate_per_s: float, timeout_s: float) -> int:
    """Enough for every request to run into its time-out at once, with a quarter to spare."""
    return min(_MAX_IN_FLIGHT, math.ceil(rate_per_s * timeout_s * 1.25) + 8)


@dataclass(frozen=True, slots=True)
class GeneratorStatus:
    """What the generator says of itself, about twice a second; times are monotonic nanoseconds.

    ``dispatched`` counts the requests whose intended start has come, ``last_good_ns`` is the end
    of the latest right answer. ``cpu_share`` is CPU time over elapsed time since the start.
    ``ceiling_per_s`` is the rate that it reached against a server that does nothing, just before
    the load (0: not measured), ``ceiling_cpu_us`` its CPU time for each of those requests.
    ``locust_requests`` and ``locust_failures`` are Locust's own counts.
    """

    state: State
    pid: int
    start_ns: int = 0
    end_ns: int = 0
    dispatched: int = 0
    right: int = 0
    failed: int = 0
    last_good_ns: int = 0
    cpu_share: float = 0.0
    cpu_us_per_request: float = 0.0
    ceiling_per_s: float = 0.0
    ceiling_cpu_us: float = 0.0
    stopped_early: bool = False
    locust_requests: int = 0
    locust_failures: int = 0
    error: str = ""
    first_errors: Mapping[str, str] | None = None

    def write(self, path: Path) -> None:
        """Replace the status file in one step, so that a reader never sees half of it."""
        draft = path.with_name(path.name + ".new")
        draft.write_text(json.dumps(asdict(self)), encoding="utf-8")
        os.replace(draft, path)

    @classmethod
    def read(cls, path: Path) -> GeneratorStatus | None:
        """The latest status, or None before the first one."""
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        return cls(**json.loads(text))
