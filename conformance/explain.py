"""Failure messages that read like a colleague's explanation."""

from __future__ import annotations


def explain(*, promised: str, seen: str, since: str, look: str) -> str:
    """What was promised, what was seen instead, since when, and where to look next."""
    return "\n".join(
        (
            f"Promised: {promised}",
            f"Seen: {seen}",
            f"Since: {since}",
            f"Where to look: {look}",
        )
    )
