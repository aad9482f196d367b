"""The suite on a cluster that it did not make: brought up by hand, reached as a vendor's is.

The scripts in ``lab/`` are the hand-written steps. The suite gets what a vendor would give it: a
kubeconfig with the rights that docs/certify-a-device.md asks for, SSH with a key, and hooks.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from fixtures.profile import Profile
from fixtures.progress_view import ConsoleProgress
from fixtures.reference.engine import Engine
from fixtures.reference.lifecycle import leftovers
from tests.existing_cluster import lab as labs
from tests.existing_cluster.lab import LAN_HOST, NODE, Lab

# Requirements that an ordinary kubelet keeps, with a Triton that tolerates an absent cloud.
HOLDS = (
    "PLC-003",
    *("AUT-001", "AUT-002", "AUT-003", "AUT-005"),
    *(f"SRV-{number:03}" for number in range(1, 19)),
)
# What this box has not got: the requirement is skipped, and this is why.
NO_ACCELERATOR = "profile acme-box has no edge node with an accelerator"
SKIPPED: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("PLC-001", "PLC-002", "PLC-004", "PLC-005"), NO_ACCELERATOR),
        "SRV-019": "the profile does not claim serving.modelControl",
        "SRV-020": "the profile's serving.conformance names no model for sequence",
    }
)
# What cannot be shown on a box that its vendor gives the LAN address of, and nothing else.
NO_SHELL = f"{NODE} has no way to run a command on the node (the profile gives no ssh for the node)"
NO_SWITCH = (
    f"{NODE} has no way to cut the node's cloud link "
    "(the profile gives no linkCutHook and linkHealHook)"
)


@pytest.fixture(scope="module")
def lab(profile: Profile) -> Iterator[Lab]:
    """A lab of its own for this module's tests, beside whatever else is up."""
    if shutil.which("podman") is None:
        pytest.skip("the lab's scripts are written for Podman, which is not installed")
    progress = ConsoleProgress()
    engine = Engine("podman")
    parts = labs.prepare(engine, profile.artifacts, progress)
    # Not pytest's own folder: the lab is named after it, and no two may be named alike.
    folder = Path(tempfile.mkdtemp(prefix="acme-lab-"))
    with labs.up(folder, engine, parts, progress) as made:
        yield made


def test_what_is_up_is_found_by_its_label(lab: Lab) -> None:
    """So that `python -m fixtures down` removes it after a SIGKILL of this test."""
    machines = ("bench", "head", "box-sockets", "box-1")
    wanted = {f"container {lab.name}-{each}" for each in machines} | {f"volume {lab.name}-disk"}
    assert wanted <= set(leftovers())


def test_suite_certifies_a_cluster_that_it_did_not_make(lab: Lab, tmp_path: Path) -> None:
    chosen = (*HOLDS, *SKIPPED)
    profile = lab.profile(HOLDS, lab.address())
    run = lab.run_suite(profile, chosen, tmp_path / "report", 480)
    wanted = dict.fromkeys(HOLDS, "passed") | dict.fromkeys(SKIPPED, "skipped")
    assert run.outcomes() == wanted, run.output
    for id, reason in SKIPPED.items():
        assert reason in run.message(id), (id, run.message(id))
    assert run.results.verdict.status == "certified", run.output
    assert run.exit_code == 0
    facts = {fact.name: fact.value for fact in run.results.facts}
    assert facts[f"version.agent.{NODE}"] == facts["version.kubernetes"]
    assert facts[f"memory.{NODE}.kubelet.rss_bytes"]


def test_what_an_ordinary_kubelet_cannot_is_seen(lab: Lab, tmp_path: Path) -> None:
    """Without the cloud it knows no pod after a boot: the very reason for edge agents."""
    profile = lab.profile(("AUT-004",), lab.address(), powerRecovery_s=15.0)
    run = lab.run_suite(profile, ("AUT-004",), tmp_path / "report", 480)
    assert run.outcomes() == {"AUT-004": "failed"}, run.output
    promised = f"{NODE} answers rightly within 15 s after its power is back, without the cloud"
    assert promised in run.message("AUT-004")
    assert "Connection refused" in run.output
    assert run.results.verdict.status == "not certified"
    assert run.exit_code == 1


def test_what_a_box_does_not_offer_is_skipped_with_the_reason(lab: Lab, tmp_path: Path) -> None:
    profile = lab.profile(("SRV-001", "AUT-001", "AUT-002"), {"lanHost": LAN_HOST})
    run = lab.run_suite(profile, ("SRV-001", "AUT-001", "AUT-002"), tmp_path / "report", 120)
    wanted = {"SRV-001": "passed", "AUT-001": "skipped", "AUT-002": "skipped"}
    assert run.outcomes() == wanted, run.output
    assert run.message("AUT-001") == f"deployment existing: {NO_SWITCH}"
    assert NO_SWITCH in run.message("AUT-002")
    assert NO_SHELL in run.message("AUT-002")
    assert run.results.verdict.status == "not certified", "a claimed MUST was not run"
    assert run.exit_code == 1


def test_nothing_of_a_lab_is_left(lab: Lab) -> None:
    """Last in this file: the hooks' timers are gone, and down removes the rest."""
    lab.script("down.sh", lab.name)
    assert not [each for each in leftovers() if lab.name in each]
