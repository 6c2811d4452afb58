"""The table of things that go wrong; each is raised by `fault_site`, so a stack can prove it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

RAISING_FUNCTION = "fault_site"
TEN_MEGABYTES = 10_000_000


@dataclass(frozen=True)
class Fault:
    """One way to fail.

    Attributes:
        name: id of the case.
        make: builds the exception, its chain included; a new object each time.
        cls: its class.
        message: what `str(exc)` gives; None where that raises.
        shows: what its stack must name besides its own type.
        hides: what its stack must not name.
        departure: it only says that the client, or the owner of the task, went away.
        hostile: code that looks at it may fail; a framework's own error page may, too.
    """

    name: str
    make: Callable[[], BaseException]
    cls: type[BaseException]
    message: str | None
    shows: tuple[str, ...] = ()
    hides: tuple[str, ...] = ()
    departure: bool = False
    hostile: bool = False

    @property
    def is_exception(self) -> bool:
        """An `except Exception` catches it."""
        return issubclass(self.cls, Exception)

    @property
    def type(self) -> str:
        """The expected `exception.type`."""
        module = self.cls.__module__
        prefix = "" if module == "builtins" else f"{module}."
        return f"{prefix}{self.cls.__qualname__}"

    def __str__(self) -> str:
        return self.name


def fault_site(fault: Fault) -> NoReturn:
    """Raise `fault`: the function that every recorded stack must name."""
    raise fault.make()


def inner_site(exc: BaseException) -> NoReturn:
    """Raise an exception that another one will be linked to."""
    raise exc


class DeclaredError(Exception):
    """An error with slots and a constructor of its own; does not survive pickling."""

    __slots__ = ("code", "detail")

    def __init__(self, code: int, *, detail: str) -> None:
        self.code = code
        self.detail = detail
        super().__init__(f"{code}: {detail}")


class BrokenStrError(Exception):
    """Cannot be turned into a string."""

    def __str__(self) -> str:
        raise RuntimeError("__str__ is broken")

    __repr__ = __str__


class HugeStrError(Exception):
    """Answers `str()` with ten megabytes."""

    def __str__(self) -> str:
        return HUGE_MESSAGE


class LyingClassError(Exception):
    """Claims to be of another class."""

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise RuntimeError("__class__ is broken")


class HostileAttributesError(Exception):
    """Fails for whatever is asked of it, the interpreter's own slots excepted."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(f"{name} is broken")


class Unclassified(BaseException):
    """Passes every `except Exception`."""


HUGE_MESSAGE = "begin " + "x" * TEN_MEGABYTES + " end"


_E = TypeVar("_E", bound=BaseException)


def _caught(exc: _E) -> _E:
    """Return `exc` with a traceback."""
    try:
        inner_site(exc)
    except type(exc):
        return exc


def _with_cause() -> BaseException:
    error = ValueError("bad order")
    error.__cause__ = _caught(KeyError("missing sku"))
    return error


def _with_context() -> BaseException:
    error = ValueError("cleanup failed")
    error.__context__ = _caught(LookupError("no such order"))
    return error


def _with_suppressed_context() -> BaseException:
    error = ValueError("public text")
    error.__context__ = _caught(LookupError("private text"))
    error.__suppress_context__ = True
    return error


def _with_cycle() -> BaseException:
    first, second = ValueError("first of a cycle"), KeyError("second of a cycle")
    first.__cause__ = second
    second.__cause__ = first
    return first


PLAIN = Fault("plain", lambda: ValueError("plain fault"), ValueError, "plain fault")

FAULTS: tuple[Fault, ...] = (
    PLAIN,
    Fault("cause", _with_cause, ValueError, "bad order", shows=("KeyError", "inner_site")),
    Fault(
        "context", _with_context, ValueError, "cleanup failed", shows=("LookupError", "inner_site")
    ),
    Fault(
        "suppressed",
        _with_suppressed_context,
        ValueError,
        "public text",
        hides=("private text", "inner_site"),
    ),
    Fault("cycle", _with_cycle, ValueError, "first of a cycle", shows=("KeyError",)),
    Fault("empty_message", ValueError, ValueError, ""),
    Fault("multi_line", lambda: ValueError("one\ntwo\n"), ValueError, "one\ntwo\n"),
    Fault("non_ascii", lambda: ValueError("Ünïcode ✓ 𝄞"), ValueError, "Ünïcode ✓ 𝄞"),
    Fault("surrogates", lambda: ValueError("bad \ud800 text"), ValueError, "bad \ud800 text"),
    Fault(
        "slots",
        lambda: DeclaredError(7, detail="slots and arguments"),
        DeclaredError,
        "7: slots and arguments",
    ),
    Fault("str_raises", BrokenStrError, BrokenStrError, None, hostile=True),
    Fault("str_is_huge", HugeStrError, HugeStrError, HUGE_MESSAGE, hostile=True),
    Fault("lying_class", lambda: LyingClassError("lying"), LyingClassError, "lying", hostile=True),
    Fault(
        "hostile_attributes",
        lambda: HostileAttributesError("hostile"),
        HostileAttributesError,
        "hostile",
        hostile=True,
    ),
    Fault("system_exit", lambda: SystemExit(3), SystemExit, "3"),
    Fault("keyboard_interrupt", KeyboardInterrupt, KeyboardInterrupt, ""),
    Fault("base_exception", lambda: Unclassified("odd"), Unclassified, "odd"),
    Fault("cancelled", asyncio.CancelledError, asyncio.CancelledError, "", departure=True),
    Fault("generator_exit", GeneratorExit, GeneratorExit, "", departure=True),
)

if sys.version_info >= (3, 11):
    from builtins import ExceptionGroup

    def _with_notes() -> BaseException:
        error = ValueError("noted")
        error.add_note("order 42 of tenant acme")
        return error

    FAULTS += (
        Fault(
            "group",
            lambda: ExceptionGroup(
                "two at once",
                [_caught(KeyError("left")), _caught(ValueError("right"))],
            ),
            ExceptionGroup,
            "two at once (2 sub-exceptions)",
            shows=("KeyError", "left", "right", "inner_site"),
        ),
        Fault("notes", _with_notes, ValueError, "noted", shows=("order 42 of tenant acme",)),
    )


def named(*names: str) -> tuple[Fault, ...]:
    """Return the faults of these names that this interpreter has."""
    known = {fault.name for fault in FAULTS} | {"group", "notes"}
    unknown = set(names) - known
    if unknown:
        raise LookupError(f"no fault is called {sorted(unknown)}")
    return tuple(fault for fault in FAULTS if fault.name in names)


ERRORS = tuple(f for f in FAULTS if f.is_exception)
CALM = tuple(f for f in ERRORS if not f.hostile)
HOSTILE = tuple(f for f in FAULTS if f.hostile)
BASE = tuple(f for f in FAULTS if not f.is_exception and not f.departure)
DEPARTURES = tuple(f for f in FAULTS if f.departure)
