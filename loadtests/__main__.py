"""``python -m loadtests compare A B``: whether load B was slower than load A.

A and B are records (``record.arrows``) or the folders that hold them. Exit status: 0 where B was
not shown to be slower, 1 where it was, 2 where the two cannot be compared.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from loadtests import recorder, statistics
from loadtests.comparison import Comparison, Sample, compare
from loadtests.errors import LoadError

RECORD = "record.arrows"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; gives the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtests",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    comparing = commands.add_parser("compare", help="whether load B was slower than load A")
    comparing.add_argument("a", type=Path, metavar="A")
    comparing.add_argument("b", type=Path, metavar="B")
    comparing.add_argument("--json", action="store_true", help="for programs")
    options = parser.parse_args(arguments)
    try:
        a, b = _read(options.a), _read(options.b)
        found = compare(_sample(a), _sample(b))
    except (LoadError, OSError, ValueError) as error:
        print(f"cannot compare: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps({"word": found.word, **asdict(found)}, indent=1))
    else:
        print("\n".join(_lines(a, b, found)))
    return 1 if found.word == "slower" else 0


def _read(path: Path) -> statistics.Records:
    return recorder.read(path / RECORD if path.is_dir() else path).records


def _sample(records: statistics.Records) -> Sample:
    chosen = records.select(statistics.right(records))
    return Sample(statistics.latencies_us(records), chosen.intended_ns)


def _lines(a: statistics.Records, b: statistics.Records, found: Comparison) -> Iterator[str]:
    for name, one in (("A", a), ("B", b)):
        right = int(statistics.right(one).sum())
        yield f"{name}: {len(one)} requests, {len(one) - right} of them not answered rightly"
    for change in found.changes:
        yield (
            f"p{change.percent:g}: {change.a_us / 1000:.3f} ms to {change.b_us / 1000:.3f} ms, "
            f"{change.ratio:+.1%} (95 % interval {change.low:+.1%} to {change.high:+.1%})"
        )
    yield f"Cliff's delta {found.delta:+.3f} ({found.magnitude}), p = {found.p_value:.4f}"
    yield f"B beside A: {found.word}"


if __name__ == "__main__":
    sys.exit(main())
