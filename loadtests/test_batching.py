"""Whether the server batches what independent users send."""

from __future__ import annotations

import pytest

from conformance.catalogue import requirement
from fixtures.profile import Profile
from fixtures.target import Deployment, Evidence, wait_until
from loadtests.counters import read_batch_counters
from loadtests.run import Loads

_DURATION_S = 15.0
_COUNTER_LAG_S = 15.0


@requirement(
    id="LOD-002",
    level="SHOULD",
    family="load",
    since="0.1",
    sentence="An inference server at the edge SHOULD execute requests of independent users "
    "together when they arrive close to each other at the claimed rate.",
    why="Dynamic batching is what makes a small accelerator carry many users.",
    source="Triton Inference Server user guide, dynamic batcher",
)
@pytest.mark.disturbs
def test_requests_of_independent_users_are_batched(
    profile: Profile, deployment: Deployment, load: Loads, evidence: Evidence
) -> None:
    """The server's executions grow by less than its answered requests."""
    edge = next(iter(deployment.edges.values()))
    claim, url = profile.load, edge.endpoint.metrics_url
    before = read_batch_counters(url, claim.model)
    with load.start(
        "batching",
        edge,
        claim.model,
        claim.rate_per_s,
        claim.batch,
        claim.protocol,
        _DURATION_S,
        arrival="poisson",
    ) as run:
        result = run.wait()
    assert result.validity.valid, "; ".join(result.validity.reasons)
    assert result.summary.failed == 0, dict(result.summary.failed_by_kind)
    # The counters lag behind the answers.
    grown = wait_until(
        f"counters of {claim.model} on {edge.name}: to have all {result.summary.offered} answers",
        lambda: read_batch_counters(url, claim.model).since(before),
        lambda grown: grown.requests >= result.summary.offered,
        _COUNTER_LAG_S,
    )
    evidence.value("requests", grown.requests)
    evidence.value("executions", grown.executions)
    evidence.value("mean_batch", grown.items / max(1, grown.executions))
    assert grown.executions < grown.requests, (
        f"{grown.requests} requests took {grown.executions} executions: none was batched"
    )
