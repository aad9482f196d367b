"""The catalogue of requirements: the decorator, and the pytest plugin that reads it.

A requirement is a test function that carries ``@requirement(...)``. There is no registry beside
the tests: the catalogue is what pytest collects. Loaded with ``-p conformance.catalogue``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Literal, TypeVar

import pytest

from conformance.errors import CatalogueError

Level = Literal["MUST", "SHOULD"]
TestFunction = TypeVar("TestFunction", bound=Callable[..., object])

MARKER = "requirement"
FAMILIES: Mapping[str, str] = MappingProxyType(
    {
        "placement": "PLC",
        "autonomy": "AUT",
        "serving": "SRV",
        "footprint": "FPT",
        "security": "SEC",
        "load": "LOD",
        "chaos": "CHA",
    }
)
_ID = re.compile(r"([A-Z]{3})-(\d{3})")
_SINCE = re.compile(r"\d+\.\d+")
_KEYWORD = re.compile(r"\b(MUST|SHOULD|SHALL|MAY|REQUIRED|RECOMMENDED|OPTIONAL)\b")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One requirement: what is promised, why, and where that comes from."""

    id: str
    level: Level
    family: str
    since: str
    sentence: str
    why: str
    source: str

    def __post_init__(self) -> None:
        """Refuse a requirement that breaks the catalogue's rules."""
        match = _ID.fullmatch(self.id)
        if match is None:
            raise CatalogueError(f"requirement id {self.id!r}: expected like PLC-001")
        if self.family not in FAMILIES:
            raise CatalogueError(
                f"{self.id}: family {self.family!r}: expected one of {', '.join(FAMILIES)}"
            )
        prefix = FAMILIES[self.family]
        if match.group(1) != prefix:
            raise CatalogueError(
                f"{self.id}: ids of family {self.family!r} begin with {prefix}, "
                f"not with {match.group(1)}"
            )
        if self.level not in {"MUST", "SHOULD"}:
            raise CatalogueError(f"{self.id}: level {self.level!r}: expected MUST or SHOULD")
        if _SINCE.fullmatch(self.since) is None:
            raise CatalogueError(f"{self.id}: since {self.since!r}: expected like '0.1'")
        keywords = set(_KEYWORD.findall(self.sentence))
        if keywords != {self.level}:
            found = ", ".join(sorted(keywords)) or "none"
            raise CatalogueError(
                f"{self.id}: the sentence must use the RFC 2119 keyword of its level, "
                f"{self.level}, and no other; found: {found}"
            )
        for name in ("sentence", "why", "source"):
            if not getattr(self, name).strip():
                raise CatalogueError(f"{self.id}: {name} is empty")


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """A requirement and the test that shows it (node id without parameters)."""

    requirement: Requirement
    test: str


def requirement(
    *, id: str, level: Level, family: str, since: str, sentence: str, why: str, source: str
) -> Callable[[TestFunction], TestFunction]:
    """Mark a test function as the test of one requirement; checks the wording at once."""
    checked = Requirement(id, level, family, since, sentence, why, source)

    def decorate(function: TestFunction) -> TestFunction:
        mark: pytest.MarkDecorator = pytest.mark.requirement.with_args(**asdict(checked))
        marked: TestFunction = mark(function)
        return marked

    return decorate


def requirement_of(item: pytest.Item) -> Requirement | None:
    """The requirement that a collected test shows, or None."""
    marks = list(item.iter_markers(MARKER))
    if not marks:
        return None
    if len(marks) > 1:
        raise CatalogueError(f"{item.nodeid}: shows {len(marks)} requirements; expected one")
    return Requirement(**marks[0].kwargs)


def entries(items: Iterable[pytest.Item]) -> tuple[CatalogueEntry, ...]:
    """The catalogue of the collected tests, ordered by family and id.

    Raises:
        CatalogueError: when two tests carry the same id.
    """
    found: dict[str, CatalogueEntry] = {}
    for item in items:
        shown = requirement_of(item)
        if shown is None:
            continue
        entry = CatalogueEntry(shown, _test_id(item))
        known = found.setdefault(shown.id, entry)
        if known != entry:
            raise CatalogueError(f"{shown.id} is used twice: by {known.test} and by {entry.test}")
    families = list(FAMILIES)
    return tuple(
        sorted(
            found.values(),
            key=lambda entry: (families.index(entry.requirement.family), entry.requirement.id),
        )
    )


def _test_id(item: pytest.Item) -> str:
    name = item.originalname if isinstance(item, pytest.Function) else item.name
    return f"{item.nodeid.rpartition('::')[0]}::{name or item.name}"


def _chosen_ids(option: str) -> frozenset[str]:
    ids = frozenset(part.strip() for part in option.split(",") if part.strip())
    wrong = sorted(one for one in ids if _ID.fullmatch(one) is None)
    if wrong or not ids:
        raise pytest.UsageError(
            f"--requirements: expected ids like PLC-001, separated by commas; "
            f"found {', '.join(wrong) or repr(option)}"
        )
    return ids


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--requirements``."""
    group = parser.getgroup("edge conformance")
    group.addoption(
        "--requirements",
        metavar="ID[,ID]",
        default=None,
        help="run only the tests of these requirements, for example PLC-001,AUT-004",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker of requirements and one marker per family."""
    config.addinivalue_line(
        "markers", f"{MARKER}(id, level, family, since, sentence, why, source): what a test shows"
    )
    for family, prefix in FAMILIES.items():
        config.addinivalue_line("markers", f"{family}: requirements {prefix}-nnn")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Check the catalogue, mark families, and keep only the chosen requirements."""
    try:
        catalogue = entries(items)
    except CatalogueError as error:
        raise pytest.UsageError(str(error)) from error
    for item in items:
        shown = requirement_of(item)
        if shown is not None:
            item.add_marker(shown.family)
    option = config.getoption("--requirements")
    if option is None:
        return
    chosen = _chosen_ids(option)
    missing = sorted(chosen - {entry.requirement.id for entry in catalogue})
    if missing:
        raise pytest.UsageError(
            f"--requirements: no collected test shows {', '.join(missing)}; "
            "name the folder that holds it (conformance, loadtests or chaos)"
        )
    keep = [item for item in items if (shown := requirement_of(item)) and shown.id in chosen]
    kept = set(keep)
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = keep
