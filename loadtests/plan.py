"""What a load is to be, before it is known where it goes and where its files are kept."""

from __future__ import annotations

from dataclasses import dataclass

from loadtests.schedule import Schedule
from loadtests.spec import ClosedPlan, Protocol
from loadtests.verdict import Slo


@dataclass(frozen=True, slots=True)
class Ask:
    """A model that is asked, with how many items at once, and how often beside the others."""

    model: str
    batch: int
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """A whole load: an open loop has a ``schedule``, a closed one ``closed``.

    ``slo`` is what its verdict rests on, if it has one. Good answers are those within its latency,
    or else within ``slo_ms``, or else within the profile's. ``in_flight_limit`` of None is enough
    for every request to run into its time-out at once (in a closed loop: the number of senders).
    """

    asks: tuple[Ask, ...]
    protocol: Protocol
    arrival: str
    duration_s: float
    schedule: Schedule | None = None
    closed: ClosedPlan | None = None
    seed: int = 0
    timeout_s: float = 2.0
    slo: Slo | None = None
    slo_ms: float | None = None
    in_flight_limit: int | None = None

    @property
    def rate_per_s(self) -> float:
        """The mean rate of the schedule; 0 in a closed loop."""
        return 0.0 if self.schedule is None else len(self.schedule) / self.duration_s

    @property
    def busiest_per_s(self) -> float:
        """The most requests that are due within one second; 0 in a closed loop."""
        return 0.0 if self.schedule is None else float(self.schedule.busiest_per_s)
