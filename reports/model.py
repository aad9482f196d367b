"""What a run came to, as plain data: the Python side of ``results.schema.json``.

Times in ``_ns`` are monotonic nanoseconds of the suite's host; ``Run`` has the one anchor that
relates them to the wall clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

JsonValue: TypeAlias = (
    "None | bool | int | float | str | Sequence[JsonValue] | Mapping[str, JsonValue]"
)
Outcome = Literal["passed", "failed", "error", "skipped", "not-run"]
Status = Literal["certified", "not certified", "incomplete", "no claims"]

SCHEMA_VERSION = "1.1"


@dataclass(frozen=True, slots=True)
class Suite:
    """Which suite ran: its version and, in a checkout, its commit and whether it was altered."""

    version: str
    commit: str | None
    modified: bool | None


@dataclass(frozen=True, slots=True)
class Run:
    """When and how it ran; ``started_ns`` and ``started`` are the same moment on both clocks.

    ``running`` names the tests in progress, ``problems`` what went wrong beside the tests, such as
    files that could not be collected.
    """

    id: str
    started: str
    started_ns: int
    ended: str | None
    duration_s: float
    argv: tuple[str, ...]
    running: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Claims:
    """What the profile claims."""

    profile: str
    profile_path: str
    deployment: str
    families: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    thresholds: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Environment:
    """The machine that the suite ran on."""

    kernel: str
    cpu_model: str
    cores: int
    memory_bytes: int
    os: str
    architecture: str
    python: str


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the set-up and how it ended."""

    stage: str
    seconds: float
    outcome: str
    ended: str


@dataclass(frozen=True, slots=True)
class Value:
    """One named value that a test rests on."""

    name: str
    value: JsonValue
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Test:
    """One test of a requirement. ``message`` is its one-line why, ``detail`` the long one."""

    __test__ = False

    nodeid: str
    outcome: Outcome
    duration_s: float
    message: str
    detail: str
    values: tuple[Value, ...]
    run_alone: str


@dataclass(frozen=True, slots=True)
class Requirement:
    """One requirement, whether it is claimed, and what its tests came to."""

    id: str
    level: str
    family: str
    since: str
    sentence: str
    why: str
    source: str
    claimed: bool
    outcome: Outcome
    message: str
    run_alone: str
    tests: tuple[Test, ...]


@dataclass(frozen=True, slots=True)
class Series:
    """A load second by second from ``start_ns``; latencies in microseconds, None without any."""

    start_ns: int
    second: tuple[int, ...]
    offered: tuple[int, ...]
    good: tuple[int, ...]
    failed: tuple[int, ...]
    p50_us: tuple[int | float | None, ...]
    p99_us: tuple[int | float | None, ...]
    max_us: tuple[int | float | None, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """A named part of a load, in numbers."""

    name: str
    summary: Mapping[str, JsonValue]
    start_ns: int | None = None
    end_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """One load run."""

    test: str
    name: str
    requirement: str | None
    node: str
    model: str
    protocol: str
    spec: Mapping[str, JsonValue]
    summary: Mapping[str, JsonValue]
    series: Series
    windows: tuple[Window, ...] = ()
    record_file: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault; without ``over`` the run ended while it was in force."""

    test: str
    fault: str
    target: str
    over: bool
    plan: Mapping[str, JsonValue] = field(default_factory=dict)
    injected_ns: int | None = None
    confirmed_ns: int | None = None
    confirmed_how: str = ""
    healed_ns: int | None = None
    heal_confirmed_ns: int | None = None
    heal_confirmed_how: str = ""


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact of the deployment or the machine."""

    name: str
    value: JsonValue
    source: str = ""
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of one node, to stand beside the same of the other side.

    ``side`` is ``edge`` or ``plain``, the ordinary Kubernetes node beside the edge nodes.
    """

    test: str
    figure: str
    side: str
    node: str
    value: JsonValue
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the device is what its profile claims, and why (not)."""

    certified: bool
    status: Status
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Results:
    """``results.json``: everything that every report is made from."""

    complete: bool
    suite: Suite
    run: Run
    claims: Claims | None
    environment: Environment
    verdict: Verdict
    requirements: tuple[Requirement, ...] = ()
    stages: tuple[Stage, ...] = ()
    loads: tuple[Load, ...] = ()
    faults: tuple[Fault, ...] = ()
    facts: tuple[Fact, ...] = ()
    comparison: tuple[Figure, ...] = ()
    schema_version: str = field(default=SCHEMA_VERSION)
