"""The claimed rate, kept while the cloud is away."""

from __future__ import annotations

import pytest

from conformance.catalogue import requirement
from fixtures.profile import Profile
from fixtures.target import Capability, Deployment, Evidence, Faults
from loadtests.result import LoadResult
from loadtests.run import Loads

_CUT_MARGIN_S = 60.0
_WINDOWS = ("before", "during", "after")


@requirement(
    id="LOD-001",
    level="MUST",
    family="load",
    since="0.1",
    sentence="An edge node MUST keep its claimed request rate on the batched model, without a "
    "failed request, for the whole of a cloud link cut.",
    why="Inference at the edge is bought so that it does not depend on the uplink.",
    source="KubeEdge paper, section on autonomy; CNCF Kubernetes AI Conformance 1.37 ai_inference",
)
@pytest.mark.disturbs
@pytest.mark.needs(Capability.LINK)
def test_rate_is_kept_through_a_link_cut(
    profile: Profile, deployment: Deployment, load: Loads, faults: Faults, evidence: Evidence
) -> None:
    """No request fails while the link is cut for the claimed time."""
    edge = deployment.edges_with(Capability.LINK)[0]
    claim = profile.load
    cut_s = claim.link_cut_s
    with load.start(
        "link-cut",
        edge,
        claim.model,
        claim.rate_per_s,
        claim.batch,
        claim.protocol,
        # The schedule is longer than needed and cut short by stop().
        duration_s=claim.before_s + cut_s + claim.after_s + 2 * _CUT_MARGIN_S,
    ) as run:
        run.mark("before")
        run.hold(claim.before_s)
        run.mark("during")
        with faults.cut_link(edge, cut_s + _CUT_MARGIN_S) as fault:
            run.hold(cut_s)
            assert edge.link.is_cut(), "the link was healed before its time"
            fault.heal()
        run.mark("after")
        run.hold(claim.after_s)
        result = run.stop()

    record = fault.record
    assert record.healed_ns is not None
    assert record.confirmed_ns is not None
    lasted_s = (record.healed_ns - record.confirmed_ns) / 1e9
    evidence.value("link_cut_s", lasted_s, "s")
    _record_windows(result, evidence)

    assert lasted_s >= cut_s, f"the link was cut for {lasted_s:.1f} s, claimed are {cut_s:g} s"
    assert result.validity.valid, "; ".join(result.validity.reasons)
    assert result.summary.failed == 0, (
        f"{result.summary.failed} of {result.summary.offered} requests failed: "
        f"{dict(result.summary.failed_by_kind)}, {result.status.first_errors}"
    )
    ratio = profile.thresholds.answered_within_slo_ratio
    during = result.window("during")
    assert during.good_ratio >= ratio, (
        f"{during.good_ratio:.2%} of the requests during the cut were answered within "
        f"{result.slo_ms:g} ms, claimed are {ratio:.2%}"
    )


def _record_windows(result: LoadResult, evidence: Evidence) -> None:
    for name in _WINDOWS:
        window = result.window(name)
        evidence.value(f"{name}_offered", window.offered)
        evidence.value(f"{name}_failed", window.failed)
        evidence.value(f"{name}_p50", window.p50_us, "us")
        evidence.value(f"{name}_p99", window.p99_us, "us")
