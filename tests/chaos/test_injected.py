"""The life of a fault: armed, injected, confirmed, healed, recorded, however the block ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from chaos.faults.fault import Limits, injected
from fixtures.paths import CHECKOUT
from fixtures.target import FaultNotConfirmed, FaultRecord, JsonValue, WaitTimeout

LIMITS = Limits(confirm_s=1.0, heal_s=1.0)


@dataclass
class SwitchFault:
    """A fault on a switch in memory, which notes every step; ``stuck`` ones do not move it."""

    on: bool = False
    ends_after_s: float | None = 60.0
    stuck_off: bool = False
    stuck_on: bool = False
    breaks: bool = False
    steps: list[str] = field(default_factory=list)
    name: str = "switch"
    target: str = "memory"
    plan: Mapping[str, JsonValue] = field(default_factory=lambda: {"position": "on"})

    def arm_and_inject(self) -> None:
        self.steps.append("inject")
        if self.breaks:
            raise RuntimeError("the switch broke off")
        self.on = not self.stuck_off

    def confirm(self, timeout_s: float) -> str:
        self.steps.append("confirm")
        return self._seen(True)

    def heal(self) -> None:
        self.steps.append("heal")
        self.on = self.on and self.stuck_on

    def confirm_healed(self, timeout_s: float) -> str:
        self.steps.append("confirm healed")
        return self._seen(False)

    def _seen(self, on: bool) -> str:
        if self.on is not on:
            raise WaitTimeout(f"last seen: {self.on}")
        return f"the switch is {self.on}"


@dataclass
class ListedJournal:
    """A journal in memory."""

    begins: list[FaultRecord] = field(default_factory=list)
    ends: list[FaultRecord] = field(default_factory=list)

    def begun(self, record: FaultRecord) -> None:
        self.begins.append(record)

    def over(self, record: FaultRecord) -> None:
        self.ends.append(record)


def test_steps_come_in_order_and_leftovers_are_healed_first() -> None:
    fault, journal = SwitchFault(on=True), ListedJournal()
    with injected(fault, journal, LIMITS) as active:
        assert fault.on
        assert active.record.confirmed_how == "the switch is True"
        assert active.record.healed_ns is None
    assert not fault.on
    assert fault.steps == ["heal", "inject", "confirm", "heal", "confirm healed"]
    [begin], [end] = journal.begins, journal.ends
    assert begin.injected_ns == end.injected_ns
    assert begin.confirmed_ns is None
    assert None not in (end.injected_ns, end.confirmed_ns, end.healed_ns, end.heal_confirmed_ns)
    assert end.heal_confirmed_how == "the switch is False"


def test_healing_early_is_done_once() -> None:
    fault, journal = SwitchFault(), ListedJournal()
    with injected(fault, journal, LIMITS) as active:
        active.heal()
        healed = active.record
        active.heal()
    assert fault.steps.count("confirm healed") == 1
    assert journal.ends == [healed]


def test_fault_that_did_not_happen_fails_the_experiment() -> None:
    fault, journal = SwitchFault(stuck_off=True), ListedJournal()
    with (
        pytest.raises(FaultNotConfirmed, match="switch on memory was injected but not seen"),
        injected(fault, journal, LIMITS),
    ):
        pytest.fail("the block must not run")
    assert fault.steps[-2:] == ["heal", "confirm healed"]
    assert journal.ends[0].confirmed_ns is None


def test_fault_that_does_not_heal_is_reported_and_recorded() -> None:
    fault, journal = SwitchFault(stuck_on=True), ListedJournal()
    with (
        pytest.raises(FaultNotConfirmed, match="was not seen to be over"),
        injected(fault, journal, LIMITS),
    ):
        pass
    [end] = journal.ends
    assert end.confirmed_ns is not None
    assert end.heal_confirmed_ns is None


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), SystemExit(3)])
def test_block_that_ends_badly_heals_and_keeps_its_error(error: BaseException) -> None:
    fault, journal = SwitchFault(), ListedJournal()
    with pytest.raises(type(error)), injected(fault, journal, LIMITS):
        raise error
    assert not fault.on
    assert journal.ends[0].heal_confirmed_ns is not None


def test_injection_that_breaks_off_is_healed_and_keeps_its_error() -> None:
    fault, journal = SwitchFault(breaks=True), ListedJournal()
    with pytest.raises(RuntimeError, match="broke off"), injected(fault, journal, LIMITS):
        pytest.fail("the block must not run")
    assert fault.steps == ["heal", "inject", "heal", "confirm healed"]
    assert len(journal.ends) == 1


def test_kill_that_was_not_seen_is_not_waited_for() -> None:
    fault, journal = SwitchFault(breaks=True, ends_after_s=None), ListedJournal()
    with pytest.raises(RuntimeError, match="broke off"), injected(fault, journal, LIMITS):
        pytest.fail("the block must not run")
    assert "confirm healed" not in fault.steps


def test_own_timer_that_ended_the_fault_first_gives_the_time_of_healing() -> None:
    times = iter(range(0, 10**12, 10**10))
    fault, journal = SwitchFault(ends_after_s=12.0), ListedJournal()
    with injected(fault, journal, LIMITS, clock_ns=lambda: next(times)):
        pass
    # Injected at 0 s, confirmed at 10 s, asked to heal at 20 s: the timer had done it at 12 s.
    assert journal.ends[0].healed_ns == 12_000_000_000


# A process started in the background of a shell without job control ignores SIGINT.
_CHILD = """
import json, signal, sys, threading
signal.signal(signal.SIGINT, signal.default_int_handler)
from dataclasses import asdict
from chaos.faults.fault import injected
from tests.chaos.test_injected import LIMITS, ListedJournal, SwitchFault
fault, journal = SwitchFault(), ListedJournal()
try:
    with injected(fault, journal, LIMITS):
        print("in force", flush=True)
        threading.Event().wait(60)
finally:
    print(json.dumps({"on": fault.on, "end": asdict(journal.ends[0])}), flush=True)
"""


def test_interrupted_process_heals_before_it_ends() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _CHILD],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "in force\n"
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=30)
    assert "KeyboardInterrupt" in err
    found = json.loads(out)
    assert found["on"] is False
    assert found["end"]["heal_confirmed_ns"] is not None
