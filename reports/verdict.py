"""The verdict: a pure function of what is claimed and what the tests came to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reports.model import Claims, Requirement, Verdict


def is_claimed(claims: Claims | None, id: str, family: str) -> bool:
    """Whether the profile claims a requirement: by family or by id, unless it is excluded."""
    if claims is None or id in claims.exclude:
        return False
    return family in claims.families or id in claims.requirements


def judge(
    claims: Claims | None,
    requirements: Sequence[Requirement],
    *,
    complete: bool,
    running: Sequence[str] = (),
    problems: Sequence[str] = (),
) -> Verdict:
    """The verdict of a run; certified means that everything claimed was run and holds.

    A claimed MUST that failed, was skipped or was not run denies it; a SHOULD only warns.
    ``problems`` are troubles beside the tests, each of which denies it as well.
    """
    warnings = tuple(_warnings(claims, requirements, complete=complete))
    if not complete:
        reasons = tuple(_incomplete(claims, requirements, running, problems))
        return Verdict(False, "incomplete", reasons, warnings)
    if claims is None or not (claims.families or claims.requirements):
        reason = "the profile claims no family and no requirement"
        if claims is None:
            reason = "there is no profile that claims anything"
        return Verdict(False, "no claims", (reason, *problems), warnings)
    reasons = (
        *problems,
        *_denied(requirements),
        *_unseen_ids(claims, requirements),
        *_unseen_families(claims, requirements),
    )
    if reasons:
        return Verdict(False, "not certified", reasons, warnings)
    return Verdict(True, "certified", (), warnings)


def _incomplete(
    claims: Claims | None,
    requirements: Sequence[Requirement],
    running: Sequence[str],
    problems: Sequence[str],
) -> Iterator[str]:
    yield "the run did not come to its end"
    for test in running:
        yield f"{test} was running"
    yield from problems
    open_ones = [one.id for one in requirements if one.claimed and one.outcome == "not-run"]
    if open_ones:
        yield f"not run or not finished: {', '.join(open_ones)}"
    yield from _denied([one for one in requirements if one.outcome != "not-run"])
    if claims is not None:
        yield from _unseen_ids(claims, requirements)


def _denied(requirements: Sequence[Requirement]) -> Iterator[str]:
    for one in requirements:
        if one.claimed and one.level == "MUST" and one.outcome != "passed":
            yield _sentence(one)


def _unseen_ids(claims: Claims, requirements: Sequence[Requirement]) -> Iterator[str]:
    known = {one.id for one in requirements}
    for id in claims.requirements:
        if id not in known and id not in claims.exclude:
            yield f"{id} is claimed, but no collected test shows it"


def _unseen_families(claims: Claims, requirements: Sequence[Requirement]) -> Iterator[str]:
    for family in claims.families:
        members = [one for one in requirements if one.family == family and one.claimed]
        if not members:
            yield f"family {family} is claimed, but no collected test shows any of it"
        elif not any(_was_run(one) for one in members):
            yield f"family {family} is claimed, but none of its requirements was run"


def _was_run(requirement: Requirement) -> bool:
    return any(test.outcome not in {"skipped", "not-run"} for test in requirement.tests)


def _warnings(
    claims: Claims | None, requirements: Sequence[Requirement], *, complete: bool
) -> Iterator[str]:
    for one in requirements:
        if one.claimed and one.level != "MUST" and one.outcome != "passed":
            if complete or one.outcome != "not-run":
                yield f"{_sentence(one)} ({one.level})"
        elif not one.claimed and one.outcome in {"failed", "error"}:
            yield f"{_sentence(one)} (not claimed)"
    if claims is not None and claims.exclude:
        yield f"excluded by the profile: {', '.join(claims.exclude)}"


def _sentence(requirement: Requirement) -> str:
    words = {
        "passed": "passed",
        "failed": "failed",
        "error": "ended in an error",
        "skipped": "could not be run",
        "not-run": "was not run",
    }[requirement.outcome]
    return f"{requirement.id} {words}" + (f": {requirement.message}" if requirement.message else "")
