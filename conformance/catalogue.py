"""The catalogue of requirements: the decorator, and the pytest plugin that reads it.

A requirement is a test function that carries ``@requirement(...)``. There is no registry beside
the tests: the catalogue is what pytest collects. Loaded with ``-p conformance.catalogue``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
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
ORIGINS: Mapping[str, str] = MappingProxyType(
    {
        "oip": "a serving requirement that the Open Inference Protocol makes of any server",
        "triton_extension": "a serving requirement on what Triton adds to the protocol",
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


@dataclass(frozen=True, slots=True)
class Choice:
    """Which requirements a run is limited to; None is no limit."""

    ids: frozenset[str] | None = None
    families: frozenset[str] | None = None
    level: str | None = None

    def takes(self, shown: Requirement | None) -> bool:
        """Whether the test of this requirement runs; a test of none does not."""
        return shown is not None and (
            (self.ids is None or shown.id in self.ids)
            and (self.families is None or shown.family in self.families)
            and self.level in {None, shown.level}
        )


def _choice(config: pytest.Config, catalogue: Sequence[CatalogueEntry]) -> Choice:
    """What the options say.

    Raises:
        pytest.UsageError: for an id that no collected test shows, and for an unknown family.
    """
    ids, families = config.getoption("--requirements"), config.getoption("--family")
    return Choice(
        None if ids is None else _shown_ids(ids, catalogue),
        None if families is None else _known_families(families),
        config.getoption("--level"),
    )


def _shown_ids(option: str, catalogue: Sequence[CatalogueEntry]) -> frozenset[str]:
    chosen = _chosen_ids(option)
    missing = sorted(chosen - {entry.requirement.id for entry in catalogue})
    if missing:
        raise pytest.UsageError(
            f"--requirements: no collected test shows {', '.join(missing)}; "
            "name the folder that holds it (conformance, loadtests or chaos)"
        )
    return chosen


def _known_families(option: str) -> frozenset[str]:
    names = frozenset(part.strip() for part in option.split(",") if part.strip())
    unknown = sorted(names - set(FAMILIES))
    if unknown or not names:
        raise pytest.UsageError(
            f"--family: expected one or more of {', '.join(FAMILIES)}, separated by commas; "
            f"found {', '.join(unknown) or repr(option)}"
        )
    return names


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
        "--requirement",
        metavar="ID[,ID]",
        default=None,
        help="run only the tests of these requirements, for example PLC-001,AUT-004",
    )
    group.addoption(
        "--family",
        metavar="NAME[,NAME]",
        default=None,
        help=f"run only the tests of these families: {', '.join(FAMILIES)}",
    )
    group.addoption(
        "--level",
        choices=("MUST", "SHOULD"),
        default=None,
        help="run only the tests of requirements of this level",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker of requirements and one marker per family."""
    config.addinivalue_line(
        "markers", f"{MARKER}(id, level, family, since, sentence, why, source): what a test shows"
    )
    for family, prefix in FAMILIES.items():
        config.addinivalue_line("markers", f"{family}: requirements {prefix}-nnn")
    for origin, meaning in ORIGINS.items():
        config.addinivalue_line("markers", f"{origin}: {meaning}")


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
            # So that -k finds a test by its id as well as by its name.
            item.extra_keyword_matches.add(shown.id)
    choice = _choice(config, catalogue)
    if choice == Choice():
        return
    keep = [item for item in items if choice.takes(requirement_of(item))]
    kept = set(keep)
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = keep
