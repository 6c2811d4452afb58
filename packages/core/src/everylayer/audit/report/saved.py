"""A value of the model from the JSON that was made of it."""

from __future__ import annotations

import dataclasses
import types
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ..model import SCHEMA, Report
from .limits import UnreadableError

_LARGEST = 2**64


def is_report(value: object) -> bool:
    """Tell whether a JSON value means to be a Report."""
    return isinstance(value, dict) and {"schema", "target", "chain"} <= value.keys()


def report_of(value: dict[str, Any]) -> Report:
    """Return the report that `value` was made of; unknown fields are left out.

    Raises:
        UnreadableError: it is none of ours, or a later version's.
    """
    schema = value.get("schema")
    if schema != SCHEMA:
        raise UnreadableError(f"its schema is {schema!r:.20}, and this version reads {SCHEMA}")
    try:
        report: Report = _instance(Report, value, "report")
    except RecursionError:
        raise UnreadableError("its chain is nested too deep") from None
    return report


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def _instance(cls: Any, value: object, path: str) -> Any:
    if not isinstance(value, dict):
        raise UnreadableError(f"its {path} is not an object")
    given: dict[str, Any] = {}
    for field in dataclasses.fields(cls):
        where = f"{path}.{field.name}"
        if field.name in value:
            given[field.name] = _value(_hints(cls)[field.name], value[field.name], where)
        elif _is_required(field):
            raise UnreadableError(f"its {where} is missing")
    return cls(**given)


def _is_required(field: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


def _value(hint: Any, value: Any, path: str) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _instance(hint, value, path)
    if origin is tuple:
        return _tuple(args, value, path)
    if origin is dict and isinstance(value, dict):
        return {key: _value(args[1], item, f"{path}.{key:.40}") for key, item in value.items()}
    if _fits(hint, origin, args, value):
        return value
    raise UnreadableError(f"its {path} makes no sense")


def _tuple(args: tuple[Any, ...], value: Any, path: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise UnreadableError(f"its {path} is not a list")
    if args[-1] is Ellipsis:
        return tuple(_value(args[0], item, path) for item in value)
    if len(value) != len(args):
        raise UnreadableError(f"its {path} has another length than {len(args)}")
    return tuple(_value(hint, item, path) for hint, item in zip(args, value, strict=True))


def _fits(hint: Any, origin: Any, args: tuple[Any, ...], value: Any) -> bool:
    if origin is Literal:
        return isinstance(value, str) and value in args
    if origin in (Union, types.UnionType):
        return any(_fits(arg, None, (), value) for arg in args)
    if hint is float:
        return type(value) is float or _fits(int, None, (), value)
    if hint is int:
        return type(value) is int and -_LARGEST < value < _LARGEST
    return type(value) is (type(None) if hint is None else hint)
