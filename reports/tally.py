"""Outcomes of tests while they come in, and the requirements' outcomes that follow."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from reports.errors import ReportError
from reports.model import Claims, Outcome, Requirement, Test
from reports.verdict import is_claimed

MARKER = "requirement"
LEVELS = ("MUST", "SHOULD")
_MESSAGE_LENGTH = 2_000
_DETAIL_LENGTH = 20_000

# The worst of its tests decides a requirement.
_BY_GRAVITY: Sequence[Outcome] = ("failed", "error", "not-run", "skipped", "passed")


@dataclass(frozen=True, slots=True)
class Shown:
    """A collected test that shows a requirement; ``path`` is its node id as pytest takes it.

    ``nodeid`` is what reports and evidence call it, to which xdist may have added a group.
    """

    nodeid: str
    path: str
    id: str
    level: str
    family: str
    since: str = ""
    sentence: str = ""
    why: str = ""
    source: str = ""


@dataclass
class _Record:
    """What has come in of one test."""

    outcome: Outcome = "not-run"
    duration_s: float = 0.0
    messages: list[str] = field(default_factory=list)
    details: list[str] = field(default_factory=list)
    finished: bool = False


def shown_by(item: pytest.Item, path: str) -> Shown | None:
    """What a collected test shows, or None.

    Raises:
        ReportError: its marker lacks the id, the level or the family.
    """
    marker = item.get_closest_marker(MARKER)
    if marker is None:
        return None
    text = {name: str(value) for name, value in marker.kwargs.items()}
    missing = [name for name in ("id", "level", "family") if not text.get(name)]
    if missing:
        raise ReportError(f"{path}: marker {MARKER}: expected {', '.join(missing)}, found none")
    if text["level"] not in LEVELS:
        raise ReportError(
            f"{path}: marker {MARKER}: level: expected one of {', '.join(LEVELS)}, "
            f"found {text['level']!r}"
        )
    return Shown(
        item.nodeid,
        path,
        text["id"],
        text["level"],
        text["family"],
        text.get("since", ""),
        text.get("sentence", ""),
        text.get("why", ""),
        text.get("source", ""),
    )


class Tally:
    """All tests of requirements, whether they were run or not."""

    def __init__(self) -> None:
        self._shown: dict[str, Shown] = {}
        self._records: dict[str, _Record] = {}

    def __bool__(self) -> bool:
        return bool(self._shown)

    def __contains__(self, nodeid: object) -> bool:
        return nodeid in self._shown

    @property
    def running(self) -> tuple[str, ...]:
        """Tests that have begun and not ended."""
        return tuple(name for name, record in self._records.items() if not record.finished)

    def collected(self, tests: Iterable[Shown]) -> None:
        """Note collected tests; several xdist workers collect the same ones."""
        for test in tests:
            self._shown.setdefault(test.nodeid, test)

    def begun(self, nodeid: str) -> None:
        """A test begins."""
        self._records[nodeid] = _Record()

    def ended(self, nodeid: str) -> None:
        """A test is over."""
        self._records[nodeid].finished = True

    def add(self, report: pytest.TestReport) -> None:
        """Add what one phase of a test came to."""
        record = self._records.setdefault(report.nodeid, _Record())
        record.duration_s += report.duration
        outcome, message = _reading(report)
        if report.when not in {"setup", "call", "teardown"}:
            # The controller's own report on a test that took its xdist worker down.
            record.finished = True
        if outcome is None:
            return
        if _BY_GRAVITY.index(outcome) < _BY_GRAVITY.index(record.outcome) or (
            record.outcome == "not-run"
        ):
            record.outcome = outcome
        if message:
            record.messages.append(message[:_MESSAGE_LENGTH])
        if outcome in {"failed", "error"}:
            record.details.append(report.longreprtext[-_DETAIL_LENGTH:])

    def requirements(self, claims: Claims | None, root: Path) -> tuple[Requirement, ...]:
        """Every requirement, in the order of collection, as it stands now."""
        groups: dict[str, list[Shown]] = {}
        for shown in self._shown.values():
            groups.setdefault(shown.id, []).append(shown)
        return tuple(self._requirement(some, claims, root) for some in groups.values())

    def _requirement(
        self, shown: Sequence[Shown], claims: Claims | None, root: Path
    ) -> Requirement:
        first = shown[0]
        options = _profile_option(claims, root)
        tests = tuple(self._test(one, options) for one in shown)
        outcome, message = _of_all(tests)
        functions = dict.fromkeys(one.path.partition("[")[0] for one in shown)
        return Requirement(
            first.id,
            first.level,
            first.family,
            first.since,
            first.sentence,
            first.why,
            first.source,
            claimed=is_claimed(claims, first.id, first.family),
            outcome=outcome,
            message=message,
            run_alone=_command(functions, options),
            tests=tests,
        )

    def _test(self, shown: Shown, options: Sequence[str]) -> Test:
        record = self._records.get(shown.nodeid, _Record())
        return Test(
            nodeid=shown.nodeid,
            # Half a test shows nothing: one that is still running has not been run.
            outcome=record.outcome if record.finished or _bad(record.outcome) else "not-run",
            duration_s=round(record.duration_s, 3),
            message="; ".join(record.messages),
            detail="\n\n".join(record.details),
            values=(),
            run_alone=_command([shown.path], options),
        )


def _bad(outcome: Outcome) -> bool:
    return outcome in {"failed", "error"}


def _of_all(tests: Sequence[Test]) -> tuple[Outcome, str]:
    worst = min((test.outcome for test in tests), key=_BY_GRAVITY.index)
    concerned = [test for test in tests if test.outcome == worst]
    if worst == "passed":
        return worst, ""
    message = "; ".join(dict.fromkeys(test.message for test in concerned if test.message))
    if len(concerned) < len(tests):
        names = ", ".join(test.nodeid.rpartition("::")[2] for test in concerned)
        counted = f"{len(concerned)} of {len(tests)} tests ({names})"
        message = f"{counted}: {message}" if message else counted
    return worst, message[:_MESSAGE_LENGTH]


def _reading(report: pytest.TestReport) -> tuple[Outcome | None, str]:
    """What a phase says of its test: nothing, when it only went as it should."""
    if report.failed:
        return ("failed" if report.when == "call" else "error"), _crash(report)
    expected: str | None = getattr(report, "wasxfail", None)
    if report.skipped:
        if expected is not None:
            return "failed", f"failed, as its xfail mark expects: {expected}".rstrip(": ")
        return "skipped", _why_skipped(report)
    return ("passed", "") if report.when == "call" else (None, "")


def _crash(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    text = str(crash.message) if crash is not None else report.longreprtext
    where = "" if report.when in {"call", None} else f"{report.when}: "
    return where + _first_lines(text).removeprefix("AssertionError: ").removeprefix("Failed: ")


def _first_lines(text: str) -> str:
    """The message proper, without the introspection that pytest adds below it."""
    lines = [line.strip() for line in text.strip().splitlines()]
    kept: list[str] = []
    for line in lines:
        if kept and (not line or line.startswith(("assert ", "+ "))):
            break
        kept.append(line)
    return " ".join(kept).strip()


def _why_skipped(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    return report.longreprtext


def _profile_option(claims: Claims | None, root: Path) -> Sequence[str]:
    if claims is None or not claims.profile_path:
        return ()
    path = Path(claims.profile_path)
    return ("--profile", str(path.relative_to(root) if path.is_relative_to(root) else path))


def _command(paths: Iterable[str], options: Sequence[str]) -> str:
    return shlex.join(["python", "-m", "pytest", *paths, *options])
