"""Loads by name: ``pytest loadtests --scenario steady --duration 5m``."""

from __future__ import annotations

import pytest

from fixtures.profile import Profile
from fixtures.target import Deployment
from loadtests import choice
from loadtests.run import Loads
from loadtests.scenario import Scenario


@pytest.mark.scenario
@pytest.mark.disturbs  # nothing else runs meanwhile
def test_scenario(
    scenario: Scenario,
    profile: Profile,
    deployment: Deployment,
    load: Loads,
    pytestconfig: pytest.Config,
) -> None:
    """Every promise of the scenario is kept."""
    edge = choice.node(pytestconfig, deployment, choice.models_of(scenario, profile))
    plan = scenario.plan(profile, choice.duration_s(pytestconfig))
    with load.offer(scenario.name, edge, plan) as run:
        result = run.wait()
    assert result.verdict.held, str(result.verdict)
