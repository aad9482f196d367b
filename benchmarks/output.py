"""The figures as a table for people and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.measurement import Measurement
from reports.environment import environment, suite

FORMAT = "edge-conformance-bench/1"
_WIDTH = 160


def show(measurements: Sequence[Measurement], console: Console) -> None:
    """Print one table, with a rule between benchmarks."""
    table = Table(title="Benchmarks")
    for column in ("benchmark", "what", "of"):
        table.add_column(column)
    table.add_column("value", justify="right")
    for column in ("unit", "note"):
        table.add_column(column)
    before = ""
    for one in measurements:
        if before and one.benchmark != before:
            table.add_section()
        name = one.benchmark if one.benchmark != before else ""
        before = one.benchmark
        table.add_row(name, one.what, one.subject, figure(one.value), one.unit, one.note)
    console.print(table)


def console() -> Console:
    """The terminal, or lines that are wide enough for a log."""
    terminal = Console()
    return terminal if terminal.is_terminal else Console(width=_WIDTH)


def figure(value: float) -> str:
    """Three digits that count, and no exponents."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def write(
    path: Path, started: str, measurements: Sequence[Measurement], left_out: Mapping[str, str]
) -> None:
    """Write what was measured, on what machine, and why the rest was not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "format": FORMAT,
        "started": started,
        "suite": asdict(suite()),
        "environment": asdict(environment()),
        "measurements": [asdict(one) for one in measurements],
        "left_out": dict(left_out),
    }
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)
