"""What a fault is, and the one way to put it in force: confirmed, recorded, healed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from fixtures.target import FaultNotConfirmed, FaultRecord, JsonValue, WaitTimeout


class Fault(Protocol):
    """One kind of fault on one target, as plain data and four steps.

    ``ends_after_s`` is when the fault's own timer has ended it, counted from the injection; None
    where the node heals it by itself (a killed process that a manager starts again).
    """

    name: str
    target: str
    plan: Mapping[str, JsonValue]
    ends_after_s: float | None

    def arm_and_inject(self) -> None:
        """Arm the fault's own healing where the fault lives, then let it happen."""

    def confirm(self, timeout_s: float) -> str:
        """Wait until the fault is seen to be in force; gives the observation.

        Raises:
            WaitTimeout: it was not seen in time.
        """

    def heal(self) -> None:
        """Undo what can be undone, now; does nothing where nothing is in force."""

    def confirm_healed(self, timeout_s: float) -> str:
        """Wait until the fault is seen to be over; gives the observation.

        Raises:
            WaitTimeout: it was not seen in time.
        """


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a fault may take to be seen in force, and to be seen over, in seconds."""

    confirm_s: float
    heal_s: float


class Journal(Protocol):
    """Where faults are written down."""

    def begun(self, record: FaultRecord) -> None:
        """A fault is about to be injected."""

    def over(self, record: FaultRecord) -> None:
        """A fault is over, or could not be shown to be."""


class _Injection:
    """One fault in force: the ``ActiveFault`` of the target API."""

    def __init__(self, fault: Fault, limits: Limits, clock_ns: Callable[[], int]) -> None:
        self._fault = fault
        self._limits = limits
        self._clock_ns = clock_ns
        self._record = FaultRecord(fault.name, fault.target, fault.plan)

    @property
    def record(self) -> FaultRecord:
        """What is known of the fault by now."""
        return self._record

    def inject(self, journal: Journal) -> None:
        """Inject and confirm."""
        self._record = replace(self._record, injected_ns=self._clock_ns())
        journal.begun(self._record)
        self._fault.arm_and_inject()
        try:
            how = self._fault.confirm(self._limits.confirm_s)
        except WaitTimeout as error:
            raise FaultNotConfirmed(
                f"{self._fault.name} on {self._fault.target} was injected but not seen: {error}"
            ) from error
        self._record = replace(self._record, confirmed_ns=self._clock_ns(), confirmed_how=how)

    def heal(self) -> None:
        """Heal now and confirm it; does nothing when that is done already."""
        if self._record.heal_confirmed_ns is not None:
            return
        asked_ns = self._clock_ns()
        self._fault.heal()
        if self._fault.ends_after_s is None and self._record.confirmed_ns is None:
            # A kill that was not seen to happen leaves nothing that could be seen to come back.
            return
        try:
            how = self._fault.confirm_healed(self._limits.heal_s)
        except WaitTimeout as error:
            raise FaultNotConfirmed(
                f"{self._fault.name} on {self._fault.target} was not seen to be over: {error}"
            ) from error
        confirmed_ns = self._clock_ns()
        self._record = replace(
            self._record,
            healed_ns=self._healed_ns(asked_ns, confirmed_ns),
            heal_confirmed_ns=confirmed_ns,
            heal_confirmed_how=how,
        )

    def _healed_ns(self, asked_ns: int, confirmed_ns: int) -> int:
        if self._fault.ends_after_s is None or self._record.injected_ns is None:
            return confirmed_ns
        planned_ns = self._record.injected_ns + round(self._fault.ends_after_s * 1e9)
        return min(asked_ns, planned_ns)


@contextmanager
def injected(
    fault: Fault,
    journal: Journal,
    limits: Limits,
    clock_ns: Callable[[], int] = time.monotonic_ns,
) -> Iterator[_Injection]:
    """Put a fault in force for a block: leftovers healed, injected, confirmed, and healed again.

    However the block ends (also by KeyboardInterrupt), and also when the fault could not be
    confirmed, it is healed, the healing is confirmed and the record is handed to ``journal``.
    Should this process die instead, the fault's own timer heals it.

    Raises:
        FaultNotConfirmed: the fault was not seen in force, or not seen to be over.
    """
    fault.heal()
    injection = _Injection(fault, limits, clock_ns)
    try:
        injection.inject(journal)
        yield injection
    finally:
        try:
            injection.heal()
        finally:
            journal.over(injection.record)
