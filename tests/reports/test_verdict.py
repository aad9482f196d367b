"""The verdict follows from claims and outcomes, and from nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reports.model import Claims, Requirement
from reports.verdict import is_claimed, judge
from tests.reports.samples import CLAIMS, requirement

PLACEMENT = replace(CLAIMS, families=("placement",))
PASSED = requirement("PLC-001")


def test_everything_claimed_and_passed_is_certified() -> None:
    verdict = judge(PLACEMENT, [PASSED], complete=True)
    assert (verdict.certified, verdict.status) == (True, "certified")
    assert not verdict.reasons
    assert not verdict.warnings


@pytest.mark.parametrize(
    ("claims", "requirements", "reason"),
    [
        (
            PLACEMENT,
            [PASSED, requirement("PLC-002", "failed", message="wrong node")],
            "PLC-002 failed: wrong node",
        ),
        (
            PLACEMENT,
            [PASSED, requirement("PLC-002", "error", message="no cluster")],
            "PLC-002 ended in an error: no cluster",
        ),
        (
            PLACEMENT,
            [PASSED, requirement("PLC-002", "skipped", message="no way to cut the link")],
            "PLC-002 could not be run: no way to cut the link",
        ),
        (PLACEMENT, [PASSED, requirement("PLC-002", "not-run")], "PLC-002 was not run"),
        (
            replace(PLACEMENT, requirements=("SEC-009",)),
            [PASSED],
            "SEC-009 is claimed, but no collected test shows it",
        ),
        (
            replace(PLACEMENT, families=("placement", "autonomy")),
            [PASSED],
            "family autonomy is claimed, but no collected test shows any of it",
        ),
        (
            replace(PLACEMENT, families=("placement", "load")),
            [PASSED, requirement("LOD-002", "skipped", level="SHOULD", family="load")],
            "family load is claimed, but none of its requirements was run",
        ),
    ],
)
def test_what_denies_the_certificate(
    claims: Claims, requirements: list[Requirement], reason: str
) -> None:
    verdict = judge(claims, requirements, complete=True)
    assert (verdict.certified, verdict.status) == (False, "not certified")
    assert verdict.reasons == (reason,)


def test_trouble_beside_the_tests_denies_the_certificate() -> None:
    verdict = judge(PLACEMENT, [PASSED], complete=True, problems=["a.py could not be collected"])
    assert verdict.status == "not certified"
    assert verdict.reasons == ("a.py could not be collected",)


def test_failed_should_is_a_warning() -> None:
    should = requirement("PLC-003", "failed", level="SHOULD", message="slow")
    verdict = judge(PLACEMENT, [PASSED, should], complete=True)
    assert verdict.certified
    assert verdict.warnings == ("PLC-003 failed: slow (SHOULD)",)


def test_excluded_requirement_does_not_count_and_is_told() -> None:
    claims = replace(PLACEMENT, exclude=("PLC-002",))
    excluded = requirement("PLC-002", "failed", message="wrong", claimed=False)
    verdict = judge(claims, [PASSED, excluded], complete=True)
    assert verdict.certified
    assert verdict.warnings == (
        "PLC-002 failed: wrong (not claimed)",
        "excluded by the profile: PLC-002",
    )


def test_interrupted_run_is_incomplete_even_when_all_passed_so_far() -> None:
    verdict = judge(
        PLACEMENT,
        [PASSED, requirement("PLC-002", "not-run")],
        complete=False,
        running=["a.py::test_cut"],
    )
    assert (verdict.certified, verdict.status) == (False, "incomplete")
    assert verdict.reasons == (
        "the run did not come to its end",
        "a.py::test_cut was running",
        "not run or not finished: PLC-002",
    )


@pytest.mark.parametrize("claims", [None, Claims("empty", "empty.yaml", "reference")])
def test_without_claims_nothing_is_certified(claims: Claims | None) -> None:
    verdict = judge(claims, [replace(PASSED, claimed=False)], complete=True)
    assert (verdict.certified, verdict.status) == (False, "no claims")
    assert verdict.reasons


@pytest.mark.parametrize(
    ("id", "family", "claimed"),
    [
        ("PLC-001", "placement", True),
        ("AUT-001", "autonomy", False),
        ("AUT-002", "autonomy", True),
        ("PLC-009", "placement", False),
    ],
)
def test_claims_by_family_by_id_and_exclusion(id: str, family: str, claimed: bool) -> None:
    claims = replace(PLACEMENT, requirements=("AUT-002", "PLC-009"), exclude=("PLC-009",))
    assert is_claimed(claims, id, family) is claimed
