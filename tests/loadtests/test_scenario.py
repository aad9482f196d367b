from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fixtures.paths import CHECKOUT
from fixtures.profile import Profile
from fixtures.profile_loader import load as load_profile
from loadtests import scenario
from loadtests.errors import SpecError

GOOD = """\
apiVersion: edge-conformance/scenario-v1
about: a test
source: a test
targets: [{model: claimed, batch: claimed}]
arrivals: {constant: {rate: 10}}
duration_s: 5
"""


@pytest.fixture(scope="module")
def profile() -> Profile:
    return load_profile(CHECKOUT / "profiles" / "reference.yaml")


def written(folder: Path, text: str) -> str:
    path = folder / "own.yaml"
    path.write_text(text, "utf-8")
    return str(path)


@pytest.mark.parametrize("name", scenario.names())
def test_each_scenario_of_the_suite_comes_to_a_load(name: str, profile: Profile) -> None:
    found = scenario.load(name)
    plan = found.plan(profile)
    assert found.about
    assert plan.slo is not None
    assert (plan.schedule is None) != (plan.closed is None)
    if plan.schedule is not None:
        assert len(plan.schedule) > 100
        assert plan.schedule.offset_ns.max() < plan.duration_s * 1e9
    shorter = found.plan(profile, 30.0)
    if shorter.schedule is not None:
        assert shorter.duration_s == 30.0
        assert shorter.schedule.offset_ns.max() < 30e9


def test_scenarios_that_the_issue_names_are_there() -> None:
    assert {
        "steady",
        "burst",
        "ramp-to-saturation",
        "day-of-a-store",
        "mixed-models",
        "soak",
        "mlperf-single-stream",
        "mlperf-multi-stream",
        "mlperf-server",
        "mlperf-offline",
    } == set(scenario.names())


def test_mlperf_rules_are_those_of_the_table(profile: Profile) -> None:
    plans = {name: scenario.load(f"mlperf-{name}").plan(profile) for name in ("server", "offline")}
    server, offline = plans["server"], plans["offline"]
    assert server.slo is not None
    assert (server.slo.percentile, server.slo.minimum_s) == (99, 600)
    assert offline.slo is not None
    assert offline.closed is not None
    # At least 24,576 samples.
    assert offline.slo.minimum_requests * offline.asks[0].batch == 24_576
    assert offline.closed.minimum_requests == offline.slo.minimum_requests


def test_claimed_values_are_the_profiles(profile: Profile) -> None:
    plan = scenario.load("steady").plan(profile)
    assert (plan.asks[0].model, plan.asks[0].batch) == (profile.load.model, profile.load.batch)
    assert plan.rate_per_s == profile.load.rate_per_s
    assert plan.slo is not None
    assert plan.slo.latency_ms == profile.thresholds.latency_slo_ms
    assert plan.slo.percentile == 100 * profile.thresholds.answered_within_slo_ratio


def test_models_are_mixed_by_weight(profile: Profile) -> None:
    plan = scenario.load("mixed-models").plan(profile)
    assert plan.schedule is not None
    shares = np.bincount(plan.schedule.target) / len(plan.schedule)
    assert shares == pytest.approx([0.6, 0.3, 0.1], abs=0.03)


def test_trace_is_found_beside_the_scenario(tmp_path: Path, profile: Profile) -> None:
    (tmp_path / "trace.csv").write_text("time_s,batch\n0,1\n4,3\n")
    text = GOOD.replace("constant: {rate: 10}", "trace: {file: trace.csv, speed: 2}")
    plan = scenario.load(written(tmp_path, text)).plan(profile)
    assert plan.schedule is not None
    assert list(plan.schedule.offset_ns) == [0, 2_000_000_000]
    assert list(plan.schedule.batch) == [1, 3]
    assert plan.duration_s > 2.0


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("duration_s: 5", "duration: 5", "own.yaml:6: duration: found an unknown key"),
        ("duration_s: 5", "duration: 5", "did you mean 'duration_s'?"),
        ("rate: 10", "rate: 0", "own.yaml:5: arrivals.constant.rate: found 0; expected more than"),
        ("rate: 10", "pace: 10", "arrivals.constant.rate: found nothing"),
        (
            "{constant: {rate: 10}}",
            "{}",
            "own.yaml:5: arrivals: found 0 entries; expected at least 1",
        ),
        ("{constant: {rate: 10}}", "{waves: {rate: 1}}", "arrivals.waves: found an unknown key"),
        ("batch: claimed", "batch: many", 'targets[0].batch: found "many"; expected a number'),
        ("batch: claimed", "batch: 1.5", "targets[0].batch: found 1.5; expected a whole number"),
        (
            "constant: {rate: 10}",
            "bursts: {base: 1, burst: 2, period_s: 3, burst_s: 3}",
            "arrivals.bursts.burst_s: found 3; expected less than period_s, which is 3",
        ),
        ("duration_s: 5", "duration_s: 5\nslo: {percentile: 100}", "expected less than 100"),
    ],
)
def test_mistake_is_told_with_its_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        scenario.load(written(tmp_path, GOOD.replace(old, new)))
    assert message in str(caught.value)


def test_unknown_scenario_is_told_with_those_there_are() -> None:
    with pytest.raises(SpecError, match=r"found 'stedy', expected one of burst, .*steady"):
        scenario.load("stedy")
