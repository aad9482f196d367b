"""From JSON to the frozen dataclasses of ``reports.model``, and back."""

from __future__ import annotations

import json
import types
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import MISSING, asdict, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import jsonschema

from reports.errors import ReportError
from reports.model import JsonValue, Results

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_SCHEMA_FILE = Path(__file__).with_name("results.schema.json")
_Data = TypeVar("_Data", bound="DataclassInstance")


def to_json(results: Results) -> str:
    """The text of ``results.json``."""
    return json.dumps(asdict(results), indent=1, ensure_ascii=False) + "\n"


def from_json(text: str, where: str) -> Results:
    """Read the text of a ``results.json``; ``where`` names it in errors.

    Raises:
        ReportError: it is not JSON, or not of a schema that this suite knows.
    """
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ReportError(f"{where}: expected JSON, found otherwise: {error}") from error
    flaw = jsonschema.exceptions.best_match(_validator().iter_errors(value))
    if flaw is not None:
        raise ReportError(f"{where}: {flaw.json_path}: {flaw.message}")
    return build(Results, value)


def build(kind: type[_Data], value: Mapping[str, object]) -> _Data:
    """A dataclass from a JSON object; unknown keys are left out, as newer writers may add some.

    Raises:
        ReportError: a field without a default is missing, or is not of its shape.
    """
    hints = _hints(kind)
    given: dict[str, object] = {}
    for field in fields(kind):
        if field.name in value:
            given[field.name] = _convert(hints[field.name], value[field.name], field.name)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ReportError(f"{kind.__name__}: expected the field {field.name}, found none")
    return kind(**given)


@cache
def _hints(kind: Hashable) -> Mapping[str, object]:
    return get_type_hints(kind)


@cache
def _validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads(_SCHEMA_FILE.read_text("utf-8")))


def _convert(hint: object, value: object, where: str) -> object:
    origin = get_origin(hint)
    if origin is tuple:
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise ReportError(f"{where}: expected a list, found {value!r}")
        return tuple(_convert(get_args(hint)[0], one, where) for one in value)
    if origin in {Union, types.UnionType} and value is not None:
        data = [one for one in get_args(hint) if is_dataclass(one)]
        return _convert(data[0], value, where) if data else value
    if isinstance(hint, type) and is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise ReportError(f"{where}: expected an object, found {value!r}")
        return build(hint, value)
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise ReportError(f"{where}: expected an object, found {value!r}")
    elif hint in {str, int, float, bool} and not _is_a(value, cast("type[object]", hint)):
        raise ReportError(f"{where}: expected {getattr(hint, '__name__', hint)}, found {value!r}")
    return value


def _is_a(value: object, kind: type[object]) -> bool:
    if kind is float:
        return isinstance(value, int | float)
    return isinstance(value, kind)


def as_json(value: object) -> JsonValue:
    """A value as JSON has it: tuples become lists, and what JSON has no word for its text."""
    plain: JsonValue = json.loads(json.dumps(value, default=str, ensure_ascii=False))
    return plain
