"""Values and units as people read them."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence

from reports.model import JsonValue

MB = 1_000_000
_BYTE_UNITS = ((1_000_000_000, "GB"), (MB, "MB"), (1_000, "kB"))


def seconds(value: JsonValue) -> str:
    """``12 ms``, ``3.4 s`` or ``2 min 05 s``; a dash for what is not known."""
    if not isinstance(value, int | float):
        return "–"
    if abs(value) < 1:
        return f"{value * 1000:.0f} ms"
    if abs(value) < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest:02d} s"


def milliseconds(value_us: JsonValue) -> str:
    """Microseconds as milliseconds with three figures."""
    if not isinstance(value_us, int | float):
        return "–"
    return f"{_figures(value_us / 1000)} ms"


def octets(value: JsonValue) -> str:
    """Bytes in the decimal unit that suits them."""
    if not isinstance(value, int | float):
        return "–"
    for size, unit in _BYTE_UNITS:
        if value >= size:
            return f"{_figures(value / size)} {unit}"
    return f"{value:g} bytes"


def measured(value: JsonValue, unit: str | None = None) -> str:
    """A value of the evidence with its unit."""
    if unit == "bytes/min":
        return f"{octets(value)} a minute"
    if unit in {"bytes", "s", "us"} and not isinstance(value, bool | str):
        known = {"bytes": octets, "s": seconds, "us": milliseconds}
        return known[unit](value)
    text = plain(value)
    return f"{text} {unit}" if unit else text


def plain(value: JsonValue) -> str:
    """A value without a unit; lists and objects in one line."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return _figures(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {plain(one)}" for name, one in value.items()) or "none"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(plain(one) for one in value) or "none"
    return str(value)


def moment(iso: str | None) -> str:
    """An ISO time as ``2026-03-01 12:30:05 UTC``."""
    if iso is None:
        return "–"
    try:
        when = datetime.datetime.fromisoformat(iso)
    except ValueError:
        return iso
    return when.astimezone(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _figures(value: float) -> str:
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:.{digits}f}"
