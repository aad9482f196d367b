"""What the sections of the page list, taken from the results."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from reports.html import wording
from reports.model import Fact, Fault, JsonValue, Requirement, Results

LIGHT_AGENT_MB = (50, 100)
"""What the paper gives as the memory of a light edge agent."""

_AGENTS = frozenset({"edgecore", "k3s", "k3s-agent", "kubelet"})
_MEMORY = re.compile(r"memory\.(?P<node>.+)\.(?P<part>[^.]+)\.(?P<kind>rss|pss)_bytes")
_DISK = re.compile(r"disk\.(?P<node>.+)\.used_bytes")


@dataclass(frozen=True, slots=True)
class Family:
    """The requirements of one family, in the order of their ids."""

    name: str
    requirements: tuple[Requirement, ...]

    @property
    def passed(self) -> int:
        """How many hold."""
        return sum(one.outcome == "passed" for one in self.requirements)


@dataclass(frozen=True, slots=True)
class Experiment:
    """One fault as a row; times in seconds, None where it did not come to that."""

    fault: Fault
    requirement: str
    begun_s: float | None
    confirmed_after_s: float | None
    in_force_s: float | None
    outage_s: JsonValue
    recovery_s: JsonValue


@dataclass(frozen=True, slots=True)
class Memory:
    """The memory of one component on one node, in bytes."""

    node: str
    part: str
    rss_bytes: float | None
    pss_bytes: float | None

    @property
    def is_agent(self) -> bool:
        """Whether the paper's figure for a light edge agent concerns it."""
        return self.part in _AGENTS

    @property
    def against_paper(self) -> str:
        """How its proportional (or else resident) size stands to the paper's figure."""
        size = self.rss_bytes if self.pss_bytes is None else self.pss_bytes
        if not self.is_agent or size is None:
            return "–"
        low, high = LIGHT_AGENT_MB
        if size > high * wording.MB:
            return f"{size / wording.MB - high:.0f} MB above"
        return "below" if size < low * wording.MB else "within"


def families(results: Results) -> tuple[Family, ...]:
    """Families in the order of collection."""
    groups: dict[str, list[Requirement]] = {}
    for one in results.requirements:
        groups.setdefault(one.family, []).append(one)
    return tuple(
        Family(name, tuple(sorted(some, key=lambda one: one.id))) for name, some in groups.items()
    )


def experiments(results: Results) -> tuple[Experiment, ...]:
    """All faults of the run, in order of time."""
    return tuple(
        _experiment(fault, results)
        for fault in sorted(results.faults, key=lambda one: one.injected_ns or 0)
    )


def memory(facts: Iterable[Fact]) -> tuple[Memory, ...]:
    """Components of all nodes."""
    sizes: dict[tuple[str, str], dict[str, float]] = {}
    for fact in facts:
        match = _MEMORY.fullmatch(fact.name)
        if match is not None and isinstance(fact.value, int | float):
            sizes.setdefault((match["node"], match["part"]), {})[match["kind"]] = fact.value
    return tuple(
        Memory(node, part, kinds.get("rss"), kinds.get("pss"))
        for (node, part), kinds in sorted(sizes.items())
    )


def disks(facts: Iterable[Fact]) -> tuple[tuple[str, JsonValue], ...]:
    """Nodes and the bytes used on their disks."""
    found = ((_DISK.fullmatch(fact.name), fact.value) for fact in facts)
    return tuple(sorted((match["node"], value) for match, value in found if match is not None))


def other_facts(facts: Sequence[Fact]) -> tuple[Fact, ...]:
    """Facts that have no table of their own, by name."""
    rest = [
        fact
        for fact in facts
        if _MEMORY.fullmatch(fact.name) is None and _DISK.fullmatch(fact.name) is None
    ]
    return tuple(sorted(rest, key=lambda fact: fact.name))


def _experiment(fault: Fault, results: Results) -> Experiment:
    shown = [
        (requirement, test)
        for requirement in results.requirements
        for test in requirement.tests
        if test.nodeid == fault.test
    ]
    values = {value.name: value.value for _, test in shown for value in test.values}
    outages = [load.summary.get("max_outage_s") for load in results.loads if _of(load.test, fault)]
    return Experiment(
        fault=fault,
        requirement=shown[0][0].id if shown else "",
        begun_s=_span_s(results.run.started_ns, fault.injected_ns),
        confirmed_after_s=_span_s(fault.injected_ns, fault.confirmed_ns),
        in_force_s=_span_s(fault.injected_ns, fault.healed_ns),
        outage_s=values.get("max_outage_s", outages[0] if outages else None),
        recovery_s=values.get("recovery_s", _span_s(fault.healed_ns, fault.heal_confirmed_ns)),
    )


def _of(test: str, fault: Fault) -> bool:
    return bool(test) and test == fault.test


def _span_s(begin_ns: int | None, end_ns: int | None) -> float | None:
    return None if begin_ns is None or end_ns is None else (end_ns - begin_ns) / 1e9
