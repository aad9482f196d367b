"""What a generator process is told, and what it says of itself: plain data in JSON files."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal

from loadtests.arrivals import Arrival
from loadtests.errors import SpecError

Protocol = Literal["http", "grpc"]
State = Literal["starting", "running", "done", "failed"]

_MAX_IN_FLIGHT = 1024


@dataclass(frozen=True, slots=True)
class LoadSpec:
    """One load: what is sent where, when, and where it is written down.

    ``timeout_s`` bounds a request from its actual start; ``in_flight_limit`` is how many may be
    unanswered at once (one more is not sent but recorded as dropped); ``ready_timeout_s`` bounds
    the wait for the first good answer. ``golden_file`` holds the inputs and right answers
    (``loadtests.golden``). The generator ends when ``parent_pid`` does.
    """

    name: str
    model: str
    protocol: Protocol
    host: str
    port: int
    rate_per_s: float
    batch: int
    duration_s: float
    arrival: Arrival
    seed: int
    timeout_s: float
    in_flight_limit: int
    ready_timeout_s: float
    golden_file: str
    atol: float
    record_file: str
    status_file: str
    parent_pid: int

    def __post_init__(self) -> None:
        """Refuse values that no load can have."""
        for name, allowed in (
            ("protocol", ("http", "grpc")),
            ("arrival", ("constant", "poisson")),
        ):
            if getattr(self, name) not in allowed:
                raise SpecError(
                    f"load {self.name!r}: {name}: found {getattr(self, name)!r}, "
                    f"expected one of {', '.join(allowed)}"
                )
        for name in (
            "rate_per_s",
            "batch",
            "duration_s",
            "timeout_s",
            "in_flight_limit",
            "ready_timeout_s",
        ):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise SpecError(
                    f"load {self.name!r}: {name}: found {value!r}, expected a number above 0"
                )

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
        expected = {field.name for field in fields(cls)}
        found = set(data) if isinstance(data, dict) else set()
        if found != expected:
            raise SpecError(
                f"{path}: missing fields: {sorted(expected - found) or 'none'}; "
                f"unknown fields: {sorted(found - expected) or 'none'}"
            )
        return cls(**data)


def default_in_flight_limit(rate_per_s: float, timeout_s: float) -> int:
    """Enough for every request to run into its time-out at once, with a quarter to spare."""
    return min(_MAX_IN_FLIGHT, math.ceil(rate_per_s * timeout_s * 1.25) + 8)


@dataclass(frozen=True, slots=True)
class GeneratorStatus:
    """What the generator says of itself, about twice a second; times are monotonic nanoseconds.

    ``dispatched`` counts the requests whose intended start has come, ``last_good_ns`` is the end
    of the latest right answer. ``cpu_share`` is CPU time over elapsed time since the start.
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
