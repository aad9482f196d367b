"""The import rule: who may import whom among the rooms, held by reading the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
ROOMS = ("fixtures", "conformance", "loadtests", "chaos", "reports")
TARGET = ("fixtures.target", "fixtures.profile")


@dataclass(frozen=True, slots=True)
class Rule:
    """Modules of other rooms that a room may import; ``tests_too`` in its test modules only."""

    room: str
    allowed: tuple[str, ...]
    tests_too: tuple[str, ...] = ()

    def permits(self, module: str, *, in_test: bool) -> bool:
        """Whether a module of this room may import the module."""
        allowed = (self.room, *self.allowed, *(self.tests_too if in_test else ()))
        return any(module == one or module.startswith(f"{one}.") for one in allowed)


RULES = (
    Rule("fixtures", ()),
    Rule("conformance", TARGET),
    Rule("loadtests", (*TARGET, "fixtures.checked_yaml"), ("conformance.catalogue",)),
    Rule("chaos", (*TARGET, "loadtests"), ("conformance.catalogue",)),
    Rule("reports", ("loadtests.statistics",)),
)


def imported(source: str, package: str) -> Iterator[tuple[int, str]]:
    """Line and module of every import of a room, wherever in the file it stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                base = ".".join([*parts[: len(parts) - node.level + 1], *filter(None, [base])])
            # ``from fixtures import target`` imports the module fixtures.target.
            bare = base in ROOMS
            names = [f"{base}.{alias.name}" for alias in node.names] if bare else [base]
        else:
            continue
        yield from ((node.lineno, name) for name in names if name.split(".")[0] in ROOMS)


def violations(rule: Rule, path: Path, source: str) -> list[str]:
    """Every import of the file that the rule forbids."""
    package = ".".join(path.parent.parts)
    in_test = path.name.startswith("test_")
    return [
        f"{path}:{line} imports {module}; {rule.room} may import "
        f"{', '.join(rule.allowed) or 'no other room'}"
        for line, module in imported(source, package)
        if not rule.permits(module, in_test=in_test)
    ]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.room)
def test_rooms_import_only_what_the_design_allows(rule: Rule) -> None:
    files = sorted((CHECKOUT / rule.room).rglob("*.py"))
    found = [
        problem
        for file in files
        for problem in violations(rule, file.relative_to(CHECKOUT), file.read_text("utf-8"))
    ]
    assert files, f"the room {rule.room} has no Python file"
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("room", "path", "source"),
    [
        ("conformance", "conformance/a.py", "import fixtures.reference.edge"),
        ("conformance", "conformance/a.py", "from fixtures import reference"),
        ("conformance", "conformance/a.py", "def f():\n    from loadtests import plugin"),
        ("conformance", "conformance/a/b.py", "from ...reports import collector"),
        ("loadtests", "loadtests/clients.py", "from conformance.catalogue import requirement"),
        ("loadtests", "loadtests/test_rate.py", "from conformance.inference import HttpClient"),
        ("reports", "reports/html.py", "import loadtests.recorder"),
        ("fixtures", "fixtures/plugin.py", "import reports.hooks"),
    ],
)
def test_rule_finds_a_forbidden_import(room: str, path: str, source: str) -> None:
    rule = next(rule for rule in RULES if rule.room == room)
    assert violations(rule, Path(path), source)


@pytest.mark.parametrize(
    ("room", "path", "source"),
    [
        ("conformance", "conformance/a.py", "from fixtures.target import Cluster"),
        ("conformance", "conformance/a.py", "from fixtures import target, profile"),
        ("loadtests", "loadtests/test_rate.py", "from conformance.catalogue import requirement"),
        ("chaos", "chaos/experiment.py", "from loadtests.recorder import Recorder"),
        ("reports", "reports/html/a.py", "from ..results import Results"),
        ("fixtures", "fixtures/plugin.py", "import numpy"),
    ],
)
def test_rule_lets_the_rest_pass(room: str, path: str, source: str) -> None:
    rule = next(rule for rule in RULES if rule.room == room)
    assert not violations(rule, Path(path), source)
