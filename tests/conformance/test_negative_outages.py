"""The requirements on harder outages fail on a deployment that breaks them."""

from __future__ import annotations

import pytest

from conformance.autonomy.objects import KEPT_FOLDER
from fixtures.profile import Profile
from fixtures.target import EdgeNode
from tests.conformance.background import Background
from tests.conformance.breakages import AGENT_SERVICE, on_node
from tests.conformance.child import Child, only_node

pytestmark = pytest.mark.disturbs


def test_aut_008_fails_where_the_disk_forgets(child: Child, offline_edge: EdgeNode) -> None:
    def as_soon_as_the_link_is_cut() -> bool:
        if not offline_edge.link.is_cut():
            return False
        on_node(offline_edge, f"rm {KEPT_FOLDER}/ec-*")
        return True

    with Background(as_soon_as_the_link_is_cut) as breakage:
        run = child.run("AUT-008")
    assert breakage.done, run.output
    run.assert_failed("the pod comes back with its files", "No such file")


def test_aut_019_fails_where_a_node_does_not_come_back(
    child: Child, profile: Profile, offline_edge: EdgeNode
) -> None:
    # One node is enough to show it, and the others are left in peace.
    alone = only_node(profile.path.read_text("utf-8"), offline_edge.name)

    def as_soon_as_the_link_is_cut() -> bool:
        if not offline_edge.link.is_cut():
            return False
        on_node(offline_edge, f"sv -w 20 down {AGENT_SERVICE}")
        return True

    try:
        with Background(as_soon_as_the_link_is_cut) as breakage:
            run = child.run("AUT-019", changes={**alone, "thresholds.nodeReadyAfterHeal_s": 5})
    finally:
        on_node(offline_edge, f"sv -w 20 up {AGENT_SERVICE}")
    assert breakage.done, run.output
    run.assert_failed("all nodes are Ready within 5 s", offline_edge.name)
