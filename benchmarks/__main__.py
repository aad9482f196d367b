"""``python -m benchmarks [NAME ...]``: speed and memory of the suite itself, beside its peers."""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import clients, deployed, profiles, recording, summaries
from benchmarks.measurement import Benchmark, BenchmarkError, Measurement
from benchmarks.output import console, show, write
from fixtures.errors import FixtureError
from fixtures.paths import CHECKOUT

FOLDER = CHECKOUT / "reports" / "out"


def benchmarks() -> Mapping[str, Benchmark]:
    """All benchmarks, by name, in the order in which they are run."""
    modules = (recording, clients, summaries, profiles, deployed)
    return {one.name: one for one in (module.benchmark() for module in modules)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the named benchmarks, or all; 0 when those that were named were run.

    Without names, one that cannot be run here is left out, with its reason.
    """
    known = benchmarks()
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog="; ".join(f"{one.name}: {one.about}" for one in known.values()),
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}; by default all"
    )
    parser.add_argument(
        "--output-dir", type=Path, default=FOLDER, help="where bench-<UTC time>.json goes"
    )
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in known]
    if unknown:
        parser.error(f"NAME: found {', '.join(unknown)}, expected some of {', '.join(known)}")
    now = datetime.datetime.now(datetime.UTC)
    out = console()
    found: list[Measurement] = []
    left_out: dict[str, str] = {}
    for one in known.values():
        if options.names and one.name not in options.names:
            continue
        out.print(f"{one.name}: {one.about}", highlight=False)
        try:
            found += one.run()
        except (BenchmarkError, FixtureError) as error:
            left_out[one.name] = f"{type(error).__name__}: {error}"
            out.print(f"{one.name} is left out: {left_out[one.name]}", highlight=False)
    show(found, out)
    path = options.output_dir / f"bench-{now:%Y%m%dT%H%M%SZ}.json"
    write(path, now.isoformat(), found, left_out)
    out.print(str(path), highlight=False, soft_wrap=True)
    return 1 if options.names and left_out else 0


if __name__ == "__main__":
    sys.exit(main())
