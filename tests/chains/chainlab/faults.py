"""Exceptions of every shape; each raise site has a class of its own, so a span names the site."""

from __future__ import annotations

import functools
import sys
from typing import Any

HUGE = "begin " + "x" * 1_000_000 + " end"


class Fault(Exception):
    """What every failing layer raises, so that handlers can be registered for it."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class Broken(Fault):
    """Cannot be turned into a string."""

    def __str__(self) -> str:
        raise RuntimeError("__str__ is broken")

    __repr__ = __str__


class Odd(BaseException):
    """Passes every `except Exception`."""


_BASES: dict[str, tuple[type[BaseException], ...]] = {"broken": (Broken,), "odd": (Odd,)}
if sys.version_info >= (3, 11):
    _BASES["group"] = (ExceptionGroup, Fault)

# Django's own 403: a refusal of the client, where others are failures.
REFUSAL = "denied"
SHAPES = ("plain", "broken", "empty", "surrogates", "huge", "cycle", "group", "odd")


def is_refusal(exc: BaseException) -> bool:
    """Tell whether `exc` stands for a 4xx."""
    return type(exc).__name__.startswith(REFUSAL)


@functools.cache
def class_of(shape: str, tag: str) -> Any:
    """Return the class that only the site `tag` raises."""
    if shape == REFUSAL:
        from django.core.exceptions import PermissionDenied

        return type(f"{shape}_{tag}", (PermissionDenied,), {"__module__": __name__})
    # Told apart from those of other sites by name alone: not every shape has a message.
    return type(f"{shape}_{tag}", _BASES.get(shape, (Fault,)), {"__module__": __name__})


def make(shape: str, tag: str) -> BaseException:
    """Return a new exception of this shape."""
    cls = class_of(shape, tag)
    if shape == "empty":
        exc: BaseException = cls()
    elif shape == "surrogates":
        exc = cls(f"bad \ud800 text of {tag}")
    elif shape == "huge":
        exc = cls(HUGE)
    elif shape == "group" and sys.version_info >= (3, 11):
        exc = cls(f"two at {tag}", [KeyError("left"), Fault("right")])
    else:
        exc = cls(f"fault of {tag}")
    if shape == "cycle":
        exc.__cause__ = exc
    return exc
