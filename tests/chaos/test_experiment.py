"""An experiment on a real server that is taken away under a real load."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from chaos.experiment import Experiment, run_experiment
from chaos.faults.fault import Fault, Limits, injected
from chaos.injector import EvidenceJournal
from fixtures.paths import CHECKOUT
from fixtures.profile import Profile
from fixtures.profile_loader import load
from fixtures.target import ActiveFault, JsonValue, WaitTimeout, wait_until
from loadtests.run import Loads
from tests.loadtests.evidence import ListedEvidence
from tests.loadtests.server import MODEL, DisturbedServer, golden


class ServerAway:
    """The server closes its socket and connections; its own timer brings it back."""

    name = "server-away"
    target = "here"

    def __init__(self, server: DisturbedServer, away_s: float) -> None:
        self.plan: Mapping[str, JsonValue] = {"away_s": away_s}
        self.ends_after_s: float | None = away_s
        self._server = server
        self._away_s = away_s

    def arm_and_inject(self) -> None:
        timer = threading.Timer(self._away_s, self._server.up)
        timer.daemon = True
        timer.start()
        self._server.down()

    def confirm(self, timeout_s: float) -> str:
        self._await(False, timeout_s)
        return "the server does not listen"

    def heal(self) -> None:
        self._server.up()

    def confirm_healed(self, timeout_s: float) -> str:
        self._await(True, timeout_s)
        return "the server listens"

    def _await(self, up: bool, timeout_s: float) -> None:
        wait_until("the server", lambda: self._server.is_up, lambda is_up: is_up is up, timeout_s)


@pytest.fixture
def quick_profile() -> Profile:
    profile = load(CHECKOUT / "profiles" / "reference.yaml")
    claim = replace(profile.load, model=MODEL, rate_per_s=40.0, before_s=1.0, after_s=1.5)
    return replace(profile, load=claim)


@pytest.fixture
def kept(tmp_path: Path) -> ListedEvidence:
    return ListedEvidence(tmp_path)


@pytest.fixture
def server() -> Iterator[DisturbedServer]:
    disturbed = DisturbedServer()
    yield disturbed
    disturbed.down()


def _experiment(server: DisturbedServer, kept: ListedEvidence, fault: Fault) -> Experiment:
    def inject() -> AbstractContextManager[ActiveFault]:
        return injected(fault, EvidenceJournal(kept), Limits(confirm_s=5.0, heal_s=5.0))

    def go_on(_fault: ActiveFault) -> None:
        threading.Event().wait(1.0)

    return Experiment("away", server, inject, go_on, fault_s=20.0)


def test_verdict_of_a_server_that_went_away(
    server: DisturbedServer, kept: ListedEvidence, quick_profile: Profile
) -> None:
    loads = Loads(kept, golden, default_slo_ms=500.0, requirement=None)
    experiment = _experiment(server, kept, ServerAway(server, away_s=30.0))
    result = run_experiment(experiment, loads, quick_profile, kept)
    verdict = result.verdict
    assert verdict.failed >= 38
    assert verdict.answered_within_slo + verdict.failed <= verdict.requests_offered
    assert verdict.max_outage_s >= 1.0
    assert verdict.recovery_s is not None
    assert verdict.steady_before
    assert verdict.steady_after
    assert result.load.window("during").failed == verdict.failed
    values = {str(payload["name"]): payload["value"] for payload in kept.of_kind("value")}
    assert values["max_outage_s"] == verdict.max_outage_s
    assert [kind for kind, _ in kept.events if kind != "value"] == ["fault-begin", "fault", "load"]


def test_server_that_comes_back_wrong_is_not_recovered(
    server: DisturbedServer, kept: ListedEvidence, quick_profile: Profile
) -> None:
    loads = Loads(kept, golden, default_slo_ms=500.0, requirement=None)
    thresholds = replace(quick_profile.thresholds, max_outage_s=1.0)
    profile = replace(quick_profile, thresholds=thresholds)
    spoiled = ExitStack()

    class ComesBackWrong(ServerAway):
        def heal(self) -> None:
            if not self._server.is_up:
                spoiled.enter_context(self._server.wrong())
            super().heal()

    experiment = _experiment(server, kept, ComesBackWrong(server, away_s=30.0))
    with spoiled, pytest.raises(WaitTimeout, match=f"a right answer from {MODEL} on here"):
        run_experiment(experiment, loads, profile, kept)
    # Without a verdict, but the fault and the load are in the evidence.
    assert [kind for kind, _ in kept.events] == ["fault-begin", "fault", "load"]
    [load_payload] = kept.of_kind("load")
    assert "wrong_answer" in str(load_payload["summary"])
