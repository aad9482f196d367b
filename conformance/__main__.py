"""``python -m conformance``: write REQUIREMENTS.md anew; ``--check``: say whether it drifted."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import io
import sys
from pathlib import Path

import pytest

from conformance.catalogue import CatalogueEntry, entries
from conformance.document import render
from conformance.errors import ConformanceError

CHECKOUT = Path(__file__).resolve().parent.parent
DOCUMENT = CHECKOUT / "conformance" / "REQUIREMENTS.md"
ROOMS = ("conformance", "loadtests", "chaos")


class _Collector:
    """A pytest plugin that keeps what was collected."""

    def __init__(self) -> None:
        self.catalogue: tuple[CatalogueEntry, ...] = ()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.catalogue = entries(session.items)


def collect() -> tuple[CatalogueEntry, ...]:
    """Collect the catalogue from the tests of all rooms, without any deployment."""
    collector = _Collector()
    output = io.StringIO()
    # The suite's other plugins are left out: they would open a report for a mere listing.
    arguments = [
        "--collect-only",
        "--quiet",
        f"--rootdir={CHECKOUT}",
        f"--config-file={CHECKOUT / 'pyproject.toml'}",
        "--override-ini=addopts=",
        "--disable-warnings",
        "-p",
        "no:cacheprovider",
        "-p",
        "conformance.catalogue",
        *(str(CHECKOUT / room) for room in ROOMS),
    ]
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        status = pytest.main(arguments, plugins=[collector])
    if status != pytest.ExitCode.OK:
        raise ConformanceError(
            f"collecting {', '.join(ROOMS)} ended with {status!r}:\n{output.getvalue()}"
        )
    return collector.catalogue


def main(argv: list[str] | None = None) -> int:
    """Write or check the document; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m conformance", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 on a drift")
    options = parser.parse_args(argv)
    wanted = render(collect())
    present = DOCUMENT.read_text(encoding="utf-8") if DOCUMENT.exists() else ""
    if not options.check:
        DOCUMENT.write_text(wanted, encoding="utf-8")
        return 0
    if present == wanted:
        return 0
    difference = difflib.unified_diff(
        present.splitlines(), wanted.splitlines(), "REQUIREMENTS.md", "the tests", lineterm=""
    )
    sys.stderr.write(
        "conformance/REQUIREMENTS.md is not what the tests say; run: python -m conformance\n"
        + "\n".join(difference)
        + "\n"
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
