"""Requirements on single pods fail where something changes the pods on their way in."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from fixtures.profile import Profile
from fixtures.target import AcceleratorClaim, EdgeNode
from tests.conformance.child import Child
from tests.conformance.meddler import Meddle, meddling

pytestmark = pytest.mark.disturbs

Meddling = Callable[[str, Meddle], AbstractContextManager[None]]


@pytest.fixture
def meddle(core: client.CoreV1Api, tmp_path: Path) -> Meddling:
    """Puts a webhook in the way of a requirement's pods."""
    return lambda requirement, change: meddling(core, tmp_path, requirement, change)


def test_plc_013_fails_where_the_device_goes_to_the_sidecar(
    child: Child, meddle: Meddling, last_accelerator_edge: EdgeNode
) -> None:
    def to_the_sidecar(pod: dict[str, Any]) -> None:
        containers = pod["spec"]["containers"]
        if len(containers) > 1:
            first, second = containers
            first["resources"], second["resources"] = second["resources"], first["resources"]

    with meddle("plc-013", to_the_sidecar):
        run = child.run("PLC-013", node=last_accelerator_edge.name)
    run.assert_failed("in the container that asked for it alone", "container sidecar of pod")


def test_plc_014_fails_where_fractions_are_rounded(
    child: Child, meddle: Meddling, last_accelerator_edge: EdgeNode, last_claim: AcceleratorClaim
) -> None:
    def rounded(pod: dict[str, Any]) -> None:
        for container in pod["spec"]["containers"]:
            for counts in container["resources"].values():
                counts[last_claim.resource] = "1"

    with meddle("plc-014", rounded):
        run = child.run("PLC-014", node=last_accelerator_edge.name)
    run.assert_failed("is refused, and the field is named", "half a device: taken")


def test_plc_015_fails_where_the_selector_is_dropped(child: Child, meddle: Meddling) -> None:
    def anywhere(pod: dict[str, Any]) -> None:
        pod["spec"].pop("nodeSelector", None)

    with meddle("plc-015", anywhere):
        run = child.run("PLC-015")
    run.assert_failed("was bound to")


@pytest.mark.parametrize("requirement", ["PLC-016", "PLC-020"])
def test_plc_016_and_020_fail_where_affinity_is_dropped(
    child: Child, meddle: Meddling, profile: Profile, requirement: str
) -> None:
    def anywhere(pod: dict[str, Any]) -> None:
        pod["spec"].pop("affinity", None)
        pod["spec"]["nodeSelector"] = {"kubernetes.io/hostname": profile.nodes[0].name}

    with meddle(requirement.lower(), anywhere):
        run = child.run(requirement)
    run.assert_failed("was bound to")


def test_plc_017_fails_where_the_order_is_reversed(child: Child, meddle: Meddling) -> None:
    def reversed_order(pod: dict[str, Any]) -> None:
        affinity = pod["spec"]["affinity"]["nodeAffinity"]
        for term in affinity["preferredDuringSchedulingIgnoredDuringExecution"]:
            (expression,) = term["preference"]["matchExpressions"]
            expression["operator"] = "NotIn"

    with meddle("plc-017", reversed_order):
        run = child.run("PLC-017")
    run.assert_failed("pod 1 takes gpu", "it went to edge-cpu")


def test_plc_018_fails_where_every_pod_tolerates_everything(
    child: Child, meddle: Meddling, last_accelerator_edge: EdgeNode
) -> None:
    def tolerant(pod: dict[str, Any]) -> None:
        pod["spec"]["tolerations"] = [{"operator": "Exists"}]

    with meddle("plc-018", tolerant):
        run = child.run(
            "PLC-018", node=last_accelerator_edge.name, changes={"steering.evictedWithin_s": 4}
        )
    run.assert_failed("leaves", "within 4 s", "plc-018-goes")


def test_plc_019_fails_where_the_need_is_dropped(
    child: Child, meddle: Meddling, last_accelerator_edge: EdgeNode
) -> None:
    def needs_nothing(pod: dict[str, Any]) -> None:
        if pod["metadata"]["name"] == "plc-019-model":
            pod["spec"]["containers"][0]["resources"] = {}

    with meddle("plc-019", needs_nothing):
        run = child.run("PLC-019", node=last_accelerator_edge.name)
    run.assert_failed("waits while all are taken", "it was bound to")


def test_plc_021_fails_where_all_pods_are_alike(
    child: Child, meddle: Meddling, last_accelerator_edge: EdgeNode
) -> None:
    def ordinary(pod: dict[str, Any]) -> None:
        pod["spec"]["priorityClassName"] = "edge-conformance-ordinary"
        pod["spec"]["priority"] = -1000

    with meddle("plc-021", ordinary):
        run = child.run(
            "PLC-021", node=last_accelerator_edge.name, changes={"steering.evictedWithin_s": 4}
        )
    run.assert_failed("takes the", "of an ordinary one", "within 4 s")


def test_plc_022_fails_where_pods_are_bound_past_the_scheduler(
    child: Child, meddle: Meddling, last_accelerator_edge: EdgeNode
) -> None:
    def bound(pod: dict[str, Any]) -> None:
        pod["spec"]["nodeName"] = last_accelerator_edge.name

    with meddle("plc-022", bound):
        run = child.run("PLC-022", node=last_accelerator_edge.name)
    run.assert_failed("no new pod is bound", "plc-022-new")
