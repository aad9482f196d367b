"""One experiment: load, steady state, a fault under load, recovery, steady state, verdict."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Final

from chaos.errors import ChaosError
from fixtures.profile import Profile
from fixtures.target import ActiveFault, Evidence, FaultRecord
from loadtests.result import LoadResult
from loadtests.run import Loads, Served

BEFORE: Final = "before"
DURING: Final = "during"
AFTER: Final = "after"


@dataclass(frozen=True, slots=True)
class Experiment:
    """What is done: a load of the profile's rate with one fault in the middle of it.

    ``fault`` opens the fault's context; ``during`` runs while it is in force and returns when it
    has gone on for long enough; ``fault_s`` bounds both together, healing and recovery included.
    """

    name: str
    edge: Served
    fault: Callable[[], AbstractContextManager[ActiveFault]]
    during: Callable[[ActiveFault], None]
    fault_s: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of it. ``recovery_s`` counts from the heal; None means it never recovered.

    ``max_outage_s`` is the longest time without a good answer in the whole run.
    A window is steady when its share of good answers is at least the profile's.
    """

    requests_offered: int
    answered_within_slo: int
    failed: int
    max_outage_s: float
    recovery_s: float | None
    steady_before: bool
    steady_after: bool


@dataclass(frozen=True, slots=True)
class ExperimentResult:
    """The verdict, and what it was made from."""

    verdict: Verdict
    load: LoadResult
    fault: FaultRecord


def run_experiment(
    experiment: Experiment, loads: Loads, profile: Profile, evidence: Evidence
) -> ExperimentResult:
    """Carry out an experiment and record its verdict; judging it is the test's affair.

    Raises:
        FaultNotConfirmed: the fault was not seen in force, or not seen to be over.
        WaitTimeout: no right answer came in time after the fault.
        ChaosError: the generator did not keep its schedule, so that nothing is proved.
    """
    claim = profile.load
    with loads.start(
        experiment.name,
        experiment.edge,
        claim.model,
        claim.rate_per_s,
        claim.batch,
        claim.protocol,
        duration_s=claim.before_s + experiment.fault_s + claim.after_s,
    ) as run:
        run.mark(BEFORE)
        run.hold(claim.before_s)
        run.mark(DURING)
        with experiment.fault() as fault:
            experiment.during(fault)
            fault.heal()
        healed_ns = fault.record.heal_confirmed_ns
        if healed_ns is None:
            raise ChaosError(f"{experiment.name}: the fault was left without being healed")
        run.await_right_answer(healed_ns, profile.thresholds.max_outage_s)
        run.mark(AFTER)
        run.hold(claim.after_s)
        result = run.stop()
    if not result.validity.valid:
        raise ChaosError(
            f"{experiment.name}: the load proves nothing: {'; '.join(result.validity.reasons)}"
        )
    verdict = judge(result, fault.record, profile.thresholds.answered_within_slo_ratio)
    for name, value in asdict(verdict).items():
        evidence.value(name, value, "s" if name.endswith("_s") else None)
    return ExperimentResult(verdict, result, fault.record)


def judge(result: LoadResult, fault: FaultRecord, steady_ratio: float) -> Verdict:
    """The verdict that a load and its fault give."""
    if fault.healed_ns is None:
        raise ChaosError(f"{fault.fault} on {fault.target} has no time of healing")
    summary = result.summary
    return Verdict(
        requests_offered=summary.offered,
        answered_within_slo=summary.good,
        failed=summary.failed,
        max_outage_s=summary.max_outage_s,
        recovery_s=result.recovery_s(fault.healed_ns),
        steady_before=result.window(BEFORE).good_ratio >= steady_ratio,
        steady_after=result.window(AFTER).good_ratio >= steady_ratio,
    )
