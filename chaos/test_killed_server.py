"""The chaos of an inference server that dies under load."""

from __future__ import annotations

import pytest

from chaos.experiment import Experiment, run_experiment
from conformance.catalogue import requirement
from fixtures.profile import Profile
from fixtures.target import (
    ActiveFault,
    Capability,
    ContainerInfo,
    Deployment,
    EdgeNode,
    Evidence,
    Faults,
)
from loadtests.run import Loads

_SERVER_LABEL = "app.kubernetes.io/name=triton"


@requirement(
    id="CHA-002",
    level="MUST",
    family="chaos",
    since="0.1",
    sentence="An edge node whose inference server is killed under load MUST give right answers "
    "again within the outage that its profile claims.",
    why="A server that crashes is the commonest fault, and its users wait for as long as it takes "
    "the node to notice, restart it and load the models.",
    source="Kubernetes Pod Lifecycle, restart policy; Principles of Chaos Engineering",
)
@pytest.mark.disturbs
@pytest.mark.needs(Capability.KILL_CONTAINER)
def test_killed_server_answers_again(
    profile: Profile, deployment: Deployment, load: Loads, faults: Faults, evidence: Evidence
) -> None:
    """Right answers come again within the claimed outage after the server's SIGKILL."""
    edge = deployment.edges_with(Capability.KILL_CONTAINER)[0]
    server = _server_container(deployment, edge)
    limit_s = profile.thresholds.max_outage_s

    def nothing_more(_fault: ActiveFault) -> None:
        """The kill is over when it is done: the experiment waits for the new container."""

    result = run_experiment(
        Experiment(
            name="killed-server",
            edge=edge,
            fault=lambda: faults.kill_container(edge, server),
            during=nothing_more,
            fault_s=profile.thresholds.container_restart_s + 2 * limit_s,
        ),
        load,
        profile,
        evidence,
    )
    verdict = result.verdict
    assert verdict.failed > 0, "the server was killed under load, but no request noticed"
    assert verdict.recovery_s is not None, "answers did not become steadily good again"
    assert verdict.max_outage_s <= limit_s, (
        f"no good answer for {verdict.max_outage_s:.1f} s, the profile claims {limit_s:g} s"
    )
    assert verdict.steady_before, "the load was not answered well before the fault"
    assert verdict.steady_after, "the load was not answered well after the fault"


def _server_container(deployment: Deployment, edge: EdgeNode) -> ContainerInfo:
    """The one container of the inference server on the node."""
    uids = {pod.uid for pod in deployment.cluster.pods(_SERVER_LABEL, node=edge.name)}
    found = [container for container in edge.containers() if container.pod_uid in uids]
    assert len(found) == 1, f"expected one container of {_SERVER_LABEL} on {edge.name}: {found}"
    return found[0]
