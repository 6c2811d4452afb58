"""What a stranger's workers do: importable by name in whichever process is to do it."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
import time
from typing import Any, NoReturn

from opentelemetry import baggage, context, trace

import everylayer

TOUCHED = os.path.join(tempfile.gettempdir(), f"everylayer-touched-{os.getuid()}")


class Needs(Exception):
    """Cannot be made of its `args`."""

    def __init__(self, code: int, *, why: str) -> None:
        super().__init__(f"{code} {why}")
        self.pid = os.getpid()


class RaisesInReduce(Exception):
    def __reduce__(self) -> NoReturn:
        raise SystemExit("of a hostile __reduce__")


class ReducesToNonsense(Exception):
    def __reduce__(self) -> Any:
        return 42


class ReducesToACommand(Exception):
    """What pickle would run where it arrives gives no exception of this class."""

    def __reduce__(self) -> Any:
        return open, (os.path.join(TOUCHED, "no", "such", "folder"), "w")


class ReducesToItself(Exception):
    def __reduce__(self) -> Any:
        return type(self), (self,)


class RaisesWhenMade(Exception):
    def __init__(self, *args: object, allowed: bool = False) -> None:
        if not allowed:
            raise MemoryError("of a hostile __init__")
        super().__init__(*args)


class RaisesInSetState(Exception):
    def __setstate__(self, state: Any) -> NoReturn:
        raise KeyboardInterrupt

    def __reduce__(self) -> Any:
        return type(self), (), {"a": 1}


class RaisesInGetState(Exception):
    def __getstate__(self) -> NoReturn:
        raise RecursionError


class LiesAboutItsClass(Exception):
    @property
    def __class__(self) -> Any:
        return dict

    @__class__.setter
    def __class__(self, value: Any) -> None:
        raise TypeError


class RaisesInStr(Exception):
    def __str__(self) -> NoReturn:
        raise SystemExit(3)

    __repr__ = __str__


class RaisesInGetAttribute(Exception):
    def __getattribute__(self, name: str) -> Any:
        raise AttributeError(name)


class HoldsALock(Exception):
    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.lock = threading.Lock()
        self.itself = self


class HoldsTooMuch(Exception):
    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.data = bytearray(8 << 20)


class ReducesToAnother(Exception):
    """Arrives as an exception of another class, if one asks it."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        return KeyError, ("not this one",)


class StatesNonsense(Exception):
    def __getstate__(self) -> Any:
        return 42

    def __setstate__(self, state: Any) -> NoReturn:
        raise SystemExit(state)


class IsMadeByKeyword(Exception):
    """Neither `__new__` nor `__init__` takes its `args`."""

    def __new__(cls, *args: object, code: int = 0) -> Any:
        if not code:
            raise TypeError("code is missing")
        return super().__new__(cls, *args)

    def __init__(self, *args: object, code: int) -> None:
        super().__init__(*args)
        self.code = code


class ListensToSetAttr(Exception):
    __slots__ = ("kept",)

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        object.__setattr__(self, "kept", self)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise GeneratorExit(name)


class NeverEndsInReduce(Exception):
    """Each part of it holds another one."""

    def __reduce__(self) -> Any:
        return type(self), (NeverEndsInReduce(),)


HOSTILE: dict[str, type[Exception]] = {
    cls.__name__: cls
    for cls in (
        *(RaisesInReduce, ReducesToNonsense, ReducesToACommand, ReducesToItself, RaisesWhenMade),
        *(RaisesInSetState, RaisesInGetState, LiesAboutItsClass, RaisesInStr),
        *(RaisesInGetAttribute, HoldsALock, HoldsTooMuch, ReducesToAnother, StatesNonsense),
        *(IsMadeByKeyword, ListensToSetAttr, NeverEndsInReduce),
    )
}


def hostile(how: str) -> None:
    cls: Any = HOSTILE[how]
    more: dict[Any, dict[str, Any]] = {RaisesWhenMade: {"allowed": True}}
    more[IsMadeByKeyword] = {"code": 3}
    made = cls("x", **more.get(cls, {}))
    raise made from KeyError("a cause")


def look() -> dict[str, Any]:
    """Return what of the request is known here."""
    span = trace.get_current_span().get_span_context()
    return {
        "tenant": everylayer.tenant(),
        "baggage": dict(baggage.get_all()),
        "keys": len(context.get_current()),
        "span": trace.format_span_id(span.span_id),
        "pid": os.getpid(),
    }


def knows_sensitive() -> bool:
    from everylayer.redaction import values

    return bool(values.known(trace.get_current_span()))


def boom() -> NoReturn:
    raise KeyError("origin")


def chain() -> NoReturn:
    try:
        boom()
    except KeyError as exc:
        raise Needs(3, why="of a worker") from exc


def name(number: int) -> NoReturn:
    time.sleep(0.001)
    assert everylayer.tenant() == f"t{number}"
    raise LookupError(f"t{number}")


def refuse(what: str) -> NoReturn:
    raise ValueError(f"refused {what}")


def group() -> NoReturn:
    if sys.version_info < (3, 11):
        raise NotImplementedError
    member = Needs(3, why="of a member")
    member.__cause__ = ValueError("cause of a member")
    raise ExceptionGroup("of a worker", [KeyError("one"), member])


def slow(seconds: float) -> NoReturn:
    time.sleep(seconds)
    boom()


def bad_result() -> Any:
    return threading.Lock()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
