"""The chaos of a cloud link that comes and goes."""

from __future__ import annotations

import pytest

from chaos.experiment import Experiment, run_experiment
from chaos.flapping import flap_plan, watch_cuts
from conformance.catalogue import requirement
from fixtures.profile import Profile
from fixtures.target import ActiveFault, Capability, Deployment, Evidence, Faults
from loadtests.run import Loads

_SLACK_S = 90.0


@requirement(
    id="CHA-001",
    level="MUST",
    family="chaos",
    since="0.1",
    sentence="An edge node MUST answer every inference request from its site right while its "
    "cloud link is cut and restored again and again.",
    why="Each return of the link makes the agent synchronise with the cloud, and that must not "
    "touch what is being served.",
    source="KubeEdge threads kubeedge/kubeedge#3941, #4048, #2385; Principles of Chaos Engineering",
)
@pytest.mark.disturbs
@pytest.mark.needs(Capability.LINK)
def test_flapping_link_costs_no_request(
    profile: Profile, deployment: Deployment, load: Loads, faults: Faults, evidence: Evidence
) -> None:
    """Every request is answered right through all cuts of the flapping link."""
    edge = deployment.edges_with(Capability.LINK)[0]
    plan = flap_plan(profile.load.flap)
    seen_cuts: list[int] = []

    def ride_out(_fault: ActiveFault) -> None:
        seen_cuts.append(watch_cuts(edge.link, plan))

    result = run_experiment(
        Experiment(
            name="flapping-link",
            edge=edge,
            fault=lambda: faults.flap_link(edge, plan),
            during=ride_out,
            fault_s=plan.total_s + _SLACK_S,
        ),
        load,
        profile,
        evidence,
    )
    evidence.value("cuts_seen", seen_cuts[0])
    assert seen_cuts == [profile.load.flap.cycles]
    assert result.verdict.failed == 0, (
        f"{result.verdict.failed} of {result.verdict.requests_offered} requests failed: "
        f"{dict(result.load.summary.failed_by_kind)}, {result.load.status.first_errors}"
    )
    assert result.verdict.steady_before, "the load was not answered well before the fault"
    assert result.verdict.steady_after, "the load was not answered well after the fault"
