"""Placement: an accelerator is in the container that asked for it, works there, and only there."""

from __future__ import annotations

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from conformance.capabilities import require
from conformance.catalogue import requirement
from conformance.explain import explain
from conformance.inside import run_inside
from conformance.placement.allocations import ready_claim
from conformance.placement.devices import START_TIMEOUT_S, claim_of, miscount, visible_devices
from conformance.placement.pods import all_created, named, probe_for, spec_of, uid_of
from conformance.workloads import REQUEST_TIMEOUT_S, probe_container
from fixtures.target import Capability, Cluster, EdgeNode, Evidence, wait_until

REFUSED = frozenset({400, 403, 422})
PROBE_TIMEOUT_S = 60.0


@requirement(
    id="PLC-013",
    level="MUST",
    family="placement",
    since="0.2",
    sentence="Environment and device files of an accelerator MUST be in the container that asked "
    "for it, and neither in another container of its pod nor in a pod that asked for none.",
    why="What is visible gets used: a helper that finds the device slows the model down.",
    source="CNCF Kubernetes AI Conformance 1.37: secure_accelerator_access; Kubernetes "
    "documentation: Device Plugins (Allocate)",
)
@pytest.mark.disturbs
@pytest.mark.needs(Capability.EXEC_IN_POD)
def test_device_is_only_in_the_container_that_asked(
    accelerator_edge: EdgeNode, cluster: Cluster, evidence: Evidence
) -> None:
    """Look into three containers on one node, of which one asked for a device."""
    edge = accelerator_edge
    require(edge, Capability.EXEC_IN_POD)
    claim = ready_claim(cluster, edge)
    asker = probe_for(cluster, edge, "plc-013", "asker", {claim.resource: 1})
    other = probe_for(cluster, edge, "plc-013", "other")
    spec_of(asker).containers.append(probe_container(cluster, "sidecar"))
    with all_created(cluster, (asker, other)) as pods:
        for pod in pods:
            cluster.wait_for_pod(named(pod), ready=True, timeout_s=START_TIMEOUT_S)
        uids = {uid_of(pod) for pod in pods}
        found = {
            (one.pod_name, one.name): visible_devices(edge, one, claim)
            for one in edge.containers()
            if one.pod_uid in uids
        }
    wanted = {
        (named(asker), "probe"): 1,
        (named(asker), "sidecar"): 0,
        (named(other), "probe"): 0,
    }
    evidence.value(
        f"{edge.name} devices by container",
        {f"{pod}/{name}": [*view.ids, *view.files] for (pod, name), view in found.items()},
    )
    assert found.keys() == wanted.keys(), explain(
        promised="all three containers run on the node",
        seen=f"containers of these pods: {sorted(found)}",
        since="their pods were Ready",
        look="ctr -n k8s.io containers list on the node",
    )
    wrong = [
        f"container {name} of pod {pod} asked for {count} {claim.resource} and sees {problem}"
        for (pod, name), count in wanted.items()
        if (problem := miscount(found[pod, name], claim, count))
    ]
    assert not wrong, explain(
        promised=f"a {claim.resource} of {edge.name} is in the container that asked for it alone",
        seen="; ".join(wrong),
        since="the containers were made",
        look="the device plugin's Allocate answer; the runtime's default devices and hooks; "
        "variables of the image that a vendor's runtime takes for a request",
    )


@requirement(
    id="PLC-014",
    level="MUST",
    family="placement",
    since="0.2",
    sentence="A pod that asks for a fraction of an accelerator, or whose request differs from its "
    "limit, MUST be refused by the API with a message that names the field.",
    why="A request that is rounded or ignored in silence is noticed when the model is slow.",
    source="Kubernetes documentation: Extended Resources; Device Plugins",
)
def test_fractions_and_mismatches_are_refused(
    accelerator_edge: EdgeNode, cluster: Cluster, evidence: Evidence
) -> None:
    """Ask for what cannot be, without making it (a dry run)."""
    edge = accelerator_edge
    resource = claim_of(edge).resource
    whole = _asked(cluster, edge, {resource: "1"}, {resource: "1"})
    assert whole is None, explain(
        promised=f"a pod that asks for one {resource} is taken by the API",
        seen=str(whole),
        since="the test's first request, which is right",
        look="admission webhooks and quotas of the namespace",
    )
    cases = {
        "half a device": ({resource: "500m"}, {resource: "500m"}),
        "one and a half devices": ({resource: "1500m"}, {resource: "1500m"}),
        "a request without a limit": ({resource: "1"}, {}),
        "a request below its limit": ({resource: "1"}, {resource: "2"}),
    }
    answers = {
        what: _asked(cluster, edge, requests, limits) for what, (requests, limits) in cases.items()
    }
    for what, answer in answers.items():
        evidence.value(f"{edge.name} {what}", None if answer is None else str(answer))
    wrong = [
        f"{what}: {'taken' if answer is None else answer}"
        for what, answer in answers.items()
        if answer is None or answer.status not in REFUSED or "resources" not in str(answer.body)
    ]
    assert not wrong, explain(
        promised=f"what cannot be given of {resource} is refused, and the field is named",
        seen="; ".join(wrong),
        since="a pod that asks for one device was taken",
        look="admission webhooks that change resources: kubectl get mutatingwebhookconfigurations",
    )


def _asked(
    cluster: Cluster, edge: EdgeNode, requests: dict[str, str], limits: dict[str, str]
) -> ApiException | None:
    """The API's refusal of such a pod, or None if it would take it."""
    pod = probe_for(cluster, edge, "plc-014", "asker")
    spec_of(pod).containers[0].resources = client.V1ResourceRequirements(
        requests=requests, limits=limits
    )
    try:
        client.CoreV1Api(cluster.api_client).create_namespaced_pod(
            cluster.namespace, pod, dry_run="All", _request_timeout=REQUEST_TIMEOUT_S
        )
    except ApiException as error:
        return error
    return None


@requirement(
    id="PLC-025",
    level="MUST",
    family="placement",
    since="0.2",
    sentence="In a container with one accelerator, the command that the profile names MUST compute "
    "on it and give the promised answer.",
    why="A device file that is there does not show that driver, firmware and library fit.",
    source="CNCF Kubernetes AI Conformance 1.37: driver_runtime_management",
)
@pytest.mark.disturbs
@pytest.mark.needs(Capability.EXEC_IN_POD)
def test_accelerator_truly_computes(
    accelerator_edge: EdgeNode, cluster: Cluster, evidence: Evidence
) -> None:
    """Run the profile's probe inside a container that has one device."""
    edge = accelerator_edge
    require(edge, Capability.EXEC_IN_POD)
    claim = claim_of(edge)
    probe = claim.probe
    if probe is None:
        pytest.skip(f"the profile's accelerators name no probe for {claim.resource}")
    ready_claim(cluster, edge)
    pod = probe_for(cluster, edge, "plc-025", "probe", {claim.resource: 1})
    if probe.image is not None:
        spec_of(pod).containers[0].image = probe.image
    with all_created(cluster, (pod,)) as (made,):
        cluster.wait_for_pod(named(made), ready=True, timeout_s=START_TIMEOUT_S)
        container = wait_until(
            f"the container of {named(made)} on {edge.name}",
            lambda: next((one for one in edge.containers() if one.pod_uid == uid_of(made)), None),
            lambda seen: seen is not None,
            START_TIMEOUT_S,
        )
        assert container is not None
        done = run_inside(edge, container, probe.command, PROBE_TIMEOUT_S)
    evidence.value(f"{edge.name} accelerator's answer", done.stdout.strip()[:500])
    computed = done.exit_code == 0 and probe.expect in done.stdout
    assert computed, explain(
        promised=f"one {claim.resource} computes: exit 0 and {probe.expect!r} in the output",
        seen=f"exit {done.exit_code}: {done.stdout.strip()[-500:]} {done.stderr.strip()[-500:]}",
        since=f"{' '.join(probe.command)} ran in a container with one device",
        look="the driver and firmware on the node, and the library in the image of the probe",
    )
