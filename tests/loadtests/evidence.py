"""Evidence kept in memory, for tests that look at what was recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fixtures.target import JsonValue


@dataclass
class ListedEvidence:
    """Evidence in memory."""

    report_dir: Path
    events: list[tuple[str, Mapping[str, JsonValue]]] = field(default_factory=list)

    def record(self, kind: str, payload: Mapping[str, JsonValue]) -> None:
        self.events.append((kind, payload))

    def value(self, name: str, value: JsonValue, unit: str | None = None) -> None:
        self.record("value", {"name": name, "value": value, "unit": unit})

    def of_kind(self, kind: str) -> list[Mapping[str, JsonValue]]:
        """Payloads of one kind, in order."""
        return [payload for found, payload in self.events if found == kind]
