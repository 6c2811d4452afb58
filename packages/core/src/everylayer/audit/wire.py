"""What parent and child tell one another: a job goes in, lines come back, all of it JSON."""

from __future__ import annotations

import dataclasses
import functools
import json
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, Union

from .model import Arm, ChainNode, Fault, Request

T = TypeVar("T")


class TargetError(Exception):
    """Why an app cannot be looked at, in one sentence.

    Attributes:
        details: the traceback, "" for none.
    """

    def __init__(self, text: str, details: str = "") -> None:
        super().__init__(text)
        self.details = details


@dataclass(frozen=True)
class Job:
    """What a child has to do.

    Attributes:
        kind: `chain` reads the chain and sends nothing; `path` sends `request` once, to see what
            it passes; `trials` tries each of `faults`.
        target: as it was typed.
        factory: what `target` names is called for the app.
    """

    kind: Literal["chain", "path", "trials"]
    target: str
    arm: Arm = "bare"
    factory: bool = False
    request: Request = field(default_factory=Request)
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True)
class Chained:
    """The chain of a target, as read in one arm.

    Attributes:
        stock: "" if stock instrumentation is on, else why it is not.
        versions: of Python and each package that matters, by name.
        passed: ids of the nodes that the request of a job `path` has passed.
        status: that it was answered with; None for no answer, and where nothing was sent.
    """

    framework: str
    interface: Literal["wsgi", "asgi"]
    nodes: tuple[ChainNode, ...]
    stock: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    passed: tuple[str, ...] = ()
    status: int | None = None


def dump(value: Any) -> str:
    """Return a dataclass of an audit as one line of JSON."""
    return json.dumps(dataclasses.asdict(value), default=str)


def read(cls: type[T], data: Any) -> T:
    """Return the dataclass `cls` that `data`, read from JSON, stands for.

    Raises:
        TypeError: for a field that is missing or unknown.
    """
    hints = _hints(cls)
    return cls(**{name: _value(hints.get(name, Any), item) for name, item in data.items()})


# Asked for once a class: an audit reads thousands of each.
_hints: Callable[[Any], dict[str, Any]] = functools.cache(typing.get_type_hints)


def _value(kind: Any, item: Any) -> Any:
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        rest = [arg for arg in args if arg is not type(None)]
        return None if item is None else _value(rest[0], item)
    if origin is tuple:
        kinds = [args[0]] * len(item) if args[-1] is Ellipsis else args
        return tuple(_value(each, one) for each, one in zip(kinds, item, strict=True))
    if origin is dict:
        return {key: _value(args[1], one) for key, one in item.items()}
    nested = isinstance(kind, type) and dataclasses.is_dataclass(kind)
    return read(kind, item) if nested else item
