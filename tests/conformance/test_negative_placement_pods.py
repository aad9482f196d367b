"""Requirements on single pods fail where something changes the pods on their way in.

Each requirement's pods meet a webhook of their own, so one child runs all of these tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import pytest
from kubernetes import client

from fixtures.profile import Profile
from fixtures.target import AcceleratorClaim, EdgeNode
from tests.conformance.child import Child, ChildRun
from tests.conformance.meddler import Meddle, meddling

pytestmark = pytest.mark.disturbs

Pod = dict[str, Any]


@pytest.fixture(scope="module")
def run(
    core: client.CoreV1Api,
    profile: Profile,
    last_accelerator_edge: EdgeNode,
    last_claim: AcceleratorClaim,
    tmp_path_factory: pytest.TempPathFactory,
) -> ChildRun:
    """All of these requirements' tests, with their pods meddled with."""
    meddles = _meddles(profile, last_accelerator_edge, last_claim)
    folder = tmp_path_factory.mktemp("meddled")
    with ExitStack() as stack:
        for requirement, meddle in meddles.items():
            place = folder / requirement
            place.mkdir()
            stack.enter_context(meddling(core, place, requirement.lower(), meddle))
        others = [node.name for node in profile.nodes if node.name != last_accelerator_edge.name]
        return Child(profile.path, folder).run(
            ",".join(meddles),
            node=" and ".join(f"not {name}" for name in others),
            changes={"steering.evictedWithin_s": 4},
            timeout_s=480.0,
        )


def _meddles(profile: Profile, edge: EdgeNode, claim: AcceleratorClaim) -> Mapping[str, Meddle]:
    """What is done to the pods of each requirement's test."""

    def device_to_the_sidecar(pod: Pod) -> None:
        containers = pod["spec"]["containers"]
        if len(containers) > 1:
            first, second = containers
            first["resources"], second["resources"] = second["resources"], first["resources"]

    def rounded(pod: Pod) -> None:
        for container in pod["spec"]["containers"]:
            for counts in container["resources"].values():
                counts[claim.resource] = "1"

    def without_selector(pod: Pod) -> None:
        pod["spec"].pop("nodeSelector", None)

    def without_affinity(pod: Pod) -> None:
        pod["spec"].pop("affinity", None)
        pod["spec"]["nodeSelector"] = {"kubernetes.io/hostname": profile.nodes[0].name}

    def other_order(pod: Pod) -> None:
        affinity = pod["spec"]["affinity"]["nodeAffinity"]
        for term in affinity["preferredDuringSchedulingIgnoredDuringExecution"]:
            (expression,) = term["preference"]["matchExpressions"]
            expression["operator"] = "NotIn"

    def tolerant(pod: Pod) -> None:
        pod["spec"]["tolerations"] = [{"operator": "Exists"}]

    def needs_nothing(pod: Pod) -> None:
        if pod["metadata"]["name"] == "plc-019-model":
            pod["spec"]["containers"][0]["resources"] = {}

    def ordinary(pod: Pod) -> None:
        pod["spec"]["priorityClassName"] = "edge-conformance-ordinary"
        pod["spec"]["priority"] = -1000

    def bound(pod: Pod) -> None:
        pod["spec"]["nodeName"] = edge.name

    return {
        "PLC-013": device_to_the_sidecar,
        "PLC-014": rounded,
        "PLC-015": without_selector,
        "PLC-016": without_affinity,
        "PLC-017": other_order,
        "PLC-018": tolerant,
        "PLC-019": needs_nothing,
        "PLC-020": without_affinity,
        "PLC-021": ordinary,
        "PLC-022": bound,
    }


def test_plc_013_fails_where_the_device_goes_to_the_sidecar(run: ChildRun) -> None:
    run.of("test_device_is_only_in_the_container_that_asked").assert_failed(
        "in the container that asked for it alone", "container sidecar of pod"
    )


def test_plc_014_fails_where_fractions_are_rounded(run: ChildRun) -> None:
    run.of("test_fractions_and_mismatches_are_refused").assert_failed(
        "is refused, and the field is named", "half a device: taken"
    )


def test_plc_015_fails_where_the_selector_is_dropped(run: ChildRun) -> None:
    run.of("test_node_selector_steers_pods").assert_failed("was bound to")


def test_plc_016_fails_where_affinity_is_dropped(run: ChildRun) -> None:
    run.of("test_required_affinity_steers_pods").assert_failed("was bound to")


def test_plc_017_fails_where_the_order_is_reversed(run: ChildRun) -> None:
    run.of("test_pods_fall_back_in_the_order_of_preference").assert_failed(
        "pod 1 takes gpu", "it went to edge-cpu"
    )


def test_plc_018_fails_where_every_pod_tolerates_everything(run: ChildRun) -> None:
    run.of("test_no_execute_taint_evicts_who_does_not_tolerate_it").assert_failed(
        "leaves", "within 4 s", "plc-018-goes"
    )


def test_plc_019_fails_where_the_need_is_dropped(run: ChildRun) -> None:
    run.of("test_model_waits_for_its_kind_of_accelerator").assert_failed(
        "waits while all are taken", "it was bound to"
    )


def test_plc_020_fails_where_the_site_is_dropped(run: ChildRun) -> None:
    run.of("test_workload_stays_on_its_site").assert_failed("was bound to")


def test_plc_021_fails_where_all_pods_are_alike(run: ChildRun) -> None:
    run.of("test_critical_pod_gets_and_keeps_the_accelerator").assert_failed(
        "takes the", "of an ordinary one", "within 4 s"
    )


def test_plc_022_fails_where_pods_are_bound_past_the_scheduler(run: ChildRun) -> None:
    run.of("test_cordoned_node_gets_no_new_pods").assert_failed(
        "no new pod is bound", "plc-022-new"
    )
