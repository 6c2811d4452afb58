"""What chaos raises: in the app, and at whoever starts it wrongly."""

from __future__ import annotations

import importlib
import inspect
from typing import Any


class ChaosError(Exception):
    """A fault that was put on purpose.

    Attributes:
        trace_id: of the request, in hexadecimal; it stands in the message too.
    """

    trace_id = ""


class ChaosRefused(RuntimeError):
    """Chaos does not start here; the message says why and what to do."""


class PlanError(ValueError):
    """A plan that cannot be used; the message names the part and the remedy."""


def error_class(dotted: str) -> type[Exception]:
    """Return the class that `dotted` names, `ChaosError` for "".

    Raises:
        PlanError: there is none, or it is not one of an Exception.
    """
    if not dotted:
        return ChaosError
    module, _, name = dotted.rpartition(".")
    try:
        found = getattr(importlib.import_module(module or "builtins"), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise PlanError(
            f"error is {dotted!r}, which cannot be imported ({error}); give the dotted name of an "
            f"exception class, such as 'shop.errors.OutOfStock'."
        ) from None
    # Whatever is no Exception ends the server, not the request.
    if not (isinstance(found, type) and issubclass(found, Exception)):
        raise PlanError(f"error is {dotted!r}, which is no subclass of Exception.")
    return found


def make(cls: type[Exception], message: str, trace_id: str, status: int | None) -> Exception:
    """Return an exception of `cls` that says `message` and carries `trace_id`.

    Raises:
        PlanError: the class takes neither a message nor a status and a message.
    """
    try:
        if "status_code" in _parameters(cls):
            wanted: Any = cls
            made: Exception = wanted(status_code=status or 500, detail=message)
        else:
            made = cls(message)
    except Exception as error:
        raise PlanError(
            f"{cls.__qualname__}({message!r}) fails with {type(error).__name__}: {error}; use a "
            f"class that can be made from a message alone."
        ) from error
    try:
        made.trace_id = trace_id  # type: ignore[attr-defined]
    except AttributeError:  # It says so in its message alone.
        return made
    return made


def _parameters(cls: type[Exception]) -> set[str]:
    try:
        return set(inspect.signature(cls).parameters)
    except (TypeError, ValueError):  # Of a builtin nothing is known.
        return set()
