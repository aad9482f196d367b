"""The run in a few lines for the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from reports.model import Outcome, Results

_MOST_LINES = 16


def summary_lines(results: Results, page: Path) -> list[str]:
    """Verdict first, then what stands against it, warnings, and where the report is."""
    verdict = results.verdict
    profile = "no profile" if results.claims is None else f"profile {results.claims.profile}"
    lines = [f"{verdict.status.upper()}: {profile}, {counts(results)}"]
    sentences = {
        one.id: one.sentence for one in results.requirements if one.outcome in {"failed", "error"}
    }
    lines += _at_most([line for one in verdict.reasons for line in _reason(one, sentences)])
    lines += _at_most([f"  warning: {_one_line(text)}" for text in verdict.warnings])
    lines.append(f"report: {page}")
    return lines


def counts(results: Results) -> str:
    """For example ``12 of 13 claimed requirements passed, 1 failed``."""
    claimed = [one for one in results.requirements if one.claimed]
    found = Counter(one.outcome for one in claimed)
    text = f"{found['passed']} of {len(claimed)} claimed requirements passed"
    others: tuple[Outcome, ...] = ("failed", "error", "skipped", "not-run")
    rest = [f"{found[name]} {name.replace('-', ' ')}" for name in others if found[name]]
    return ", ".join([text, *rest])


def _reason(reason: str, sentences: Mapping[str, str]) -> Iterator[str]:
    """What stands against a certificate: what was promised, and what was seen instead."""
    id = reason.partition(" ")[0]
    if id in sentences:
        yield f"  - {id} promised: {_one_line(sentences[id])}"
        yield f"      but {_one_line(reason.removeprefix(id).strip())}"
    else:
        yield f"  - {_one_line(reason)}"


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 300 else f"{line[:299]}…"


def _at_most(lines: list[str]) -> list[str]:
    if len(lines) <= _MOST_LINES:
        return lines
    return [*lines[:_MOST_LINES], f"  and {len(lines) - _MOST_LINES} more, see the report"]
