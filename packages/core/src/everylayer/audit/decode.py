"""A dataclass from the JSON that was made of it."""

from __future__ import annotations

import dataclasses
import types
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")
_LARGEST = 2**64
_UNIONS = (Union, types.UnionType)


class DecodeError(ValueError):
    """What is wrong with a value, as the end of a sentence that says whose it is."""


def decode(cls: type[T], value: object, name: str) -> T:
    """Return the instance of `cls`, a dataclass, that `value` was made of.

    Args:
        cls: its fields may be dataclasses themselves, tuples, dicts, literals and unions.
        value: read from JSON; unknown fields are left out.
        name: of the value, for the error.

    Raises:
        DecodeError: a field is missing or of another type.
    """
    try:
        made: T = _instance(cls, value, name)
    except RecursionError:
        raise DecodeError(f"its {name} is nested too deep") from None
    return made


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def _instance(cls: Any, value: object, path: str) -> Any:
    if not isinstance(value, dict):
        raise DecodeError(f"its {path} is not an object")
    given: dict[str, Any] = {}
    for field in dataclasses.fields(cls):
        where = f"{path}.{field.name}"
        if field.name in value:
            given[field.name] = _value(_hints(cls)[field.name], value[field.name], where)
        elif _is_required(field):
            raise DecodeError(f"its {where} is missing")
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
    if origin in _UNIONS and isinstance(value, dict):
        for arg in args:
            if dataclasses.is_dataclass(arg):
                return _instance(arg, value, path)
    if origin is tuple:
        return _tuple(args, value, path)
    if origin is dict and isinstance(value, dict):
        return {key: _value(args[1], item, f"{path}.{key:.40}") for key, item in value.items()}
    if _fits(hint, origin, args, value):
        return value
    raise DecodeError(f"its {path} makes no sense")


def _tuple(args: tuple[Any, ...], value: Any, path: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise DecodeError(f"its {path} is not a list")
    if args[-1] is Ellipsis:
        return tuple(_value(args[0], item, path) for item in value)
    if len(value) != len(args):
        raise DecodeError(f"its {path} has another length than {len(args)}")
    return tuple(_value(hint, item, path) for hint, item in zip(args, value, strict=True))


def _fits(hint: Any, origin: Any, args: tuple[Any, ...], value: Any) -> bool:
    if origin is Literal:
        return isinstance(value, str) and value in args
    if origin in _UNIONS:
        return any(_fits(arg, None, (), value) for arg in args)
    if hint is float:
        return type(value) is float or _fits(int, None, (), value)
    if hint is int:
        return type(value) is int and -_LARGEST < value < _LARGEST
    return type(value) is (type(None) if hint is None else hint)
