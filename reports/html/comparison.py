"""Edge nodes and an ordinary Kubernetes node side by side, as rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reports.model import Figure


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of both sides, None where it was not measured."""

    figure: str
    edge: Figure | None
    plain: Figure | None


def rows(figures: Sequence[Figure]) -> tuple[Row, ...]:
    """In the order of the plain node's figures; then what only edge nodes have."""
    cells = {(one.figure, one.side): one for one in figures}
    ordered = sorted(figures, key=lambda one: one.side != "plain")
    return tuple(
        Row(name, cells.get((name, "edge")), cells.get((name, "plain")))
        for name in dict.fromkeys(one.figure for one in ordered)
    )
