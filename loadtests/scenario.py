"""Scenarios: loads as YAML files, checked against ``scenario.schema.json``.

A value of *claimed* is taken from the profile, and rates are multiples of the profile's claimed
rate (``ratesIn: claimed``) or requests per second. So one scenario suits every device.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from fixtures import checked_yaml
from fixtures.checked_yaml import Document, Problem, ProfileError
from fixtures.profile import Profile
from fixtures.target import JsonValue
from loadtests import arrivals
from loadtests.arrivals import Shape, Spacing
from loadtests.errors import SpecError
from loadtests.plan import Ask, LoadPlan
from loadtests.schedule import Schedule, planned, replayed
from loadtests.spec import ClosedPlan, Protocol
from loadtests.verdict import Slo

FOLDER: Final = Path(__file__).with_name("scenarios")
SCHEMA_FILE: Final = Path(__file__).with_name("scenario.schema.json")
CLAIMED: Final = "claimed"
_CLOSED_LIMIT: Final = 4.0
"""A closed loop without a limit may take so many times its duration to get its minimum."""

_Map = Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One file, of the right form; what it comes to depends on the profile."""

    name: str
    path: Path
    fields: _Map

    @property
    def about(self) -> str:
        """What it is for."""
        return str(self.fields["about"])

    def plan(self, profile: Profile, duration_s: float | None = None) -> LoadPlan:
        """The load that it is on a device with this profile, lasting so long if given.

        Rates that go on and on (constant, bursts, closed) last longer or shorter; those that have
        a course (ramp, steps, day) are stretched. A trace has its own length.

        Raises:
            SpecError: it comes to a load that cannot be.
        """
        lasts_s = duration_s or float(cast("float", self.fields["duration_s"]))
        seed = int(cast("int", self.fields.get("seed", 0)))
        asks = tuple(_ask(cast("_Map", one), profile) for one in self._list("targets"))
        ((kind, how),) = cast("Mapping[str, _Map]", self.fields["arrivals"]).items()
        slo = self._slo(profile)
        schedule, closed = None, None
        if kind == "closed":
            limit_s = max(lasts_s, _number(how, "limit_s", lasts_s * _CLOSED_LIMIT))
            closed = ClosedPlan(
                int(_number(how, "concurrency")), lasts_s, slo.minimum_requests, limit_s
            )
            lasts_s = limit_s
        elif kind == "trace":
            file = self.path.parent / str(how["file"])
            schedule = replayed(file, _number(how, "speed", 1.0))
            lasts_s = (int(schedule.offset_ns[-1]) + 1) / arrivals.NS_PER_S
        else:
            unit = profile.load.rate_per_s if self.fields.get("ratesIn") == CLAIMED else 1.0
            schedule = self._schedule(_shape(kind, how, unit, lasts_s), asks, seed)
        protocol = self.fields.get("protocol", CLAIMED)
        limit = self.fields.get("inFlightLimit")
        return LoadPlan(
            asks=asks,
            protocol=profile.load.protocol if protocol == CLAIMED else cast("Protocol", protocol),
            arrival=kind,
            duration_s=lasts_s,
            schedule=schedule,
            closed=closed,
            seed=seed,
            timeout_s=_number(self.fields, "timeout_s", 2.0),
            slo=slo,
            in_flight_limit=None if limit is None else int(cast("int", limit)),
        )

    def _schedule(self, shape: Shape, asks: Sequence[Ask], seed: int) -> Schedule:
        spacing = cast("Spacing", self.fields.get("spacing", "even"))
        offsets_ns = arrivals.arrivals(shape, spacing, seed)
        return planned(offsets_ns, [ask.batch for ask in asks], [ask.weight for ask in asks], seed)

    def _slo(self, profile: Profile) -> Slo:
        slo = cast("_Map", self.fields.get("slo", {}))
        rules = cast("_Map", self.fields.get("rules", {}))
        thresholds = profile.thresholds
        latency_ms = slo.get("latency_ms")
        return Slo(
            percentile=_claimed(
                slo.get("percentile", CLAIMED), thresholds.answered_within_slo_ratio * 100
            ),
            latency_ms=(
                None if latency_ms is None else _claimed(latency_ms, thresholds.latency_slo_ms)
            ),
            failed_ratio=_number(slo, "failed_ratio", 0.0),
            minimum_s=_number(rules, "minimum_s", 0.0),
            minimum_requests=int(_number(rules, "minimumRequests", 0)),
        )

    def _list(self, name: str) -> Sequence[JsonValue]:
        return cast("Sequence[JsonValue]", self.fields[name])


def names() -> tuple[str, ...]:
    """The scenarios that come with the suite."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def load(name: str) -> Scenario:
    """A scenario of the suite by its name, or any by the path of its file.

    Raises:
        SpecError: there is none, or each thing that is wrong with it, one a line.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else FOLDER / f"{name}.yaml"
    if not path.is_file():
        raise SpecError(
            f"scenario: found {name!r}, expected one of {', '.join(names())}, or a YAML file"
        )
    try:
        document = checked_yaml.read(path, SCHEMA_FILE, _meaning)
    except ProfileError as error:
        raise SpecError(str(error)) from error
    return Scenario(path.stem, path, cast("_Map", document.value))


def _meaning(document: Document) -> Iterator[Problem]:
    fields = cast("_Map", document.value)
    ((kind, how),) = cast("Mapping[str, _Map]", fields["arrivals"]).items()
    if kind == "bursts" and _number(how, "burst_s") >= _number(how, "period_s"):
        yield Problem(
            ("arrivals", kind, "burst_s"),
            f"found {how['burst_s']}; expected less than period_s, which is {how['period_s']}",
        )
    if kind == "trace" and len(cast("Sequence[object]", fields["targets"])) > 1:
        yield Problem(("targets",), "found several; expected one, as a trace names no models")
    for index, target in enumerate(cast("Sequence[_Map]", fields["targets"])):
        batch = target["batch"]
        if isinstance(batch, float) and not batch.is_integer():
            yield Problem(("targets", index, "batch"), f"found {batch}; expected a whole number")
    percentile = cast("_Map", fields.get("slo", {})).get("percentile")
    if isinstance(percentile, int | float) and percentile >= 100:
        yield Problem(("slo", "percentile"), f"found {percentile}; expected less than 100")


def _shape(kind: str, how: _Map, unit: float, duration_s: float) -> Shape:
    def rates(name: str) -> list[float]:
        return [unit * float(one) for one in cast("Sequence[float]", how[name])]

    if kind == "constant":
        return arrivals.steady(unit * _number(how, "rate"), duration_s)
    if kind == "bursts":
        return arrivals.bursts(
            unit * _number(how, "base"),
            unit * _number(how, "burst"),
            _number(how, "period_s"),
            _number(how, "burst_s"),
            duration_s,
        )
    if kind == "ramp":
        return arrivals.ramp(unit * _number(how, "from"), unit * _number(how, "to"), duration_s)
    if kind == "steps":
        return arrivals.steps(rates("rates"), duration_s / len(rates("rates")))
    return arrivals.through(rates("points"), duration_s)


def _ask(target: _Map, profile: Profile) -> Ask:
    model = str(target["model"])
    return Ask(
        profile.load.model if model == CLAIMED else model,
        int(_claimed(target["batch"], profile.load.batch)),
        _number(target, "weight", 1.0),
    )


def _claimed(value: JsonValue, claim: float) -> float:
    return claim if value == CLAIMED else float(cast("float", value))


def _number(fields: _Map, name: str, default: float | None = None) -> float:
    value = fields.get(name, default)
    if value is None:
        raise SpecError(f"{name}: found nothing, expected a number")
    return float(cast("float", value))
