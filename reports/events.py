"""The evidence of a run: ``events*.jsonl`` in its report folder, merged."""

from __future__ import annotations

import datetime
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from reports.decode import build
from reports.errors import ReportError
from reports.model import Fact, Fault, Figure, Load, Value

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_Data = TypeVar("_Data", bound="DataclassInstance")
_BEGIN = b'{"kind"'


@dataclass(frozen=True, slots=True)
class Event:
    """One line of evidence; ``test`` is "" for what belongs to the run itself."""

    kind: str
    t_ns: int
    wall: str
    test: str
    payload: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the events say, in order of time."""

    loads: tuple[Load, ...]
    faults: tuple[Fault, ...]
    facts: tuple[Fact, ...]
    values: Mapping[str, tuple[Value, ...]]
    comparison: tuple[Figure, ...] = ()


def append(file: Path, kind: str, payload: Mapping[str, object]) -> None:
    """Append one event of the run itself: one write, and on the disk when this returns."""
    event = {
        "kind": kind,
        "t_ns": time.monotonic_ns(),
        "wall": datetime.datetime.now(datetime.UTC).isoformat(),
        "test": "",
        "payload": payload,
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    with os.fdopen(descriptor, "ab", buffering=0) as out:
        out.write(json.dumps(event, ensure_ascii=False).encode() + b"\n")
        os.fsync(out.fileno())


def read(folder: Path, since_ns: int) -> tuple[Event, ...]:
    """All events from ``since_ns`` on, of all processes, by time; a torn last line is left out.

    What is older stems from an earlier run into the same folder.

    Raises:
        ReportError: a line other than the last of its file is not an event.
    """
    found = [event for file in sorted(folder.glob("events*.jsonl")) for event in _lines(file)]
    return tuple(sorted((one for one in found if one.t_ns >= since_ns), key=lambda one: one.t_ns))


def evidence(events: Sequence[Event]) -> Evidence:
    """What the events say of loads, faults, facts and the values of each test."""
    loads: list[Load] = []
    faults: dict[tuple[object, ...], Fault] = {}
    facts: dict[str, Fact] = {}
    values: dict[str, list[Value]] = {}
    figures: dict[tuple[str, str], Figure] = {}
    for event in events:
        content = {**event.payload, "test": event.test}
        if event.kind == "load":
            loads.append(_built(Load, content, event))
        elif event.kind in {"fault", "fault-begin"}:
            fault = _built(Fault, {**content, "over": event.kind == "fault"}, event)
            faults[fault.test, fault.fault, fault.target, fault.injected_ns] = fault
        elif event.kind == "fact":
            fact = _built(Fact, content, event)
            facts[fact.name] = fact
        elif event.kind == "comparison":
            figure = _built(Figure, content, event)
            figures[figure.figure, figure.side] = figure
        elif event.kind == "value":
            values.setdefault(event.test, []).append(_built(Value, content, event))
    return Evidence(
        tuple(loads),
        tuple(faults.values()),
        tuple(facts.values()),
        {test: tuple(some) for test, some in values.items()},
        tuple(figures.values()),
    )


def _built(kind: type[_Data], content: Mapping[str, object], event: Event) -> _Data:
    try:
        return build(kind, content)
    except ReportError as error:
        where = f"event {event.kind!r} of {event.test or 'the run'} at {event.wall}"
        raise ReportError(f"{where}: {error}") from error


def _lines(file: Path) -> Iterator[Event]:
    lines = file.read_bytes().split(b"\n")
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            yield _event(line)
        except ReportError as error:
            # A kill, or a full disk, tears the line that was being written: the last one.
            if number == len(lines):
                return
            raise ReportError(f"{file}:{number}: {error}") from error


def _event(line: bytes) -> Event:
    # A later run into the same folder goes on in the line that a killed one has torn.
    begin = max(0, line.rfind(_BEGIN))
    try:
        value = json.loads(line[begin:])
    except ValueError as error:
        raise ReportError(f"expected an event as JSON, found otherwise: {error}") from error
    if not isinstance(value, Mapping):
        raise ReportError(f"expected an event, found {value!r}")
    return build(Event, value)
