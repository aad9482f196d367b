"""``python -m reports``: make the page of a run again, or say its verdict."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from reports import store
from reports.errors import ReportError
from reports.model import Results
from reports.summary import summary_lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; 0 when it was done, and for ``verdict`` when the verdict is certified."""
    parser = argparse.ArgumentParser(prog="python -m reports", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    html = commands.add_parser("html", help="make report.html again, also that of a killed run")
    html.add_argument("results", type=Path, help="results.json, or the folder of the report")
    html.add_argument("-o", "--output", type=Path, help="default: report.html beside the results")
    verdict = commands.add_parser("verdict", help="say the verdict; status 0 for certified only")
    verdict.add_argument("results", type=Path, help="results.json, or the folder of the report")
    options = parser.parse_args(arguments)
    try:
        results = store.read(options.results)
        folder = options.results if options.results.is_dir() else options.results.parent
        page = folder / store.HTML
        if options.command == "html":
            page = options.output or page
            return _html(results, page)
    except (ReportError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    print("\n".join(summary_lines(results, page)))
    return 0 if results.verdict.certified else 1


def _html(results: Results, page: Path) -> int:
    # Slow to load, and the verdict does not need it.
    from reports.html.page import render

    store.write_atomically(page, render(results))
    print(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
