"""What the tests of processes run in them: importable by name wherever it has to be."""

from __future__ import annotations

import contextvars
import os
import signal
import sys
import threading
import time
from typing import Any

from opentelemetry import trace

import everylayer


class Needs(Exception):
    """Cannot be made of its `args`: it breaks a plain pool."""

    def __init__(self, code: int, *, why: str) -> None:
        super().__init__(f"needs {code}: {why}")
        self.code = code
        self.why = why


class Holding(Exception):
    """Has an attribute that cannot be pickled, and one that can."""

    def __init__(self) -> None:
        super().__init__("holding")
        self.lock = threading.Lock()
        self.kept = "kept"


class Reduced(Exception):
    """Says itself how it is pickled."""

    def __init__(self, code: int) -> None:
        super().__init__()
        self.code = code

    def __str__(self) -> str:
        return f"reduced {self.code}"

    def __reduce__(self) -> Any:
        return Reduced, (self.code,)


def boom() -> None:
    raise KeyError("origin")


def chain() -> None:
    """Raise a chain: a cause, a context of it, and one that is hidden."""
    try:
        try:
            boom()
        except KeyError:
            raise ValueError("context of the cause") from None
    except ValueError as exc:
        raise Needs(3, why="a cause") from exc


def lose_links() -> None:
    """Raise what a pickle can bring, with what it cannot."""
    try:
        boom()
    except KeyError as exc:
        raise ValueError("with a cause") from exc


def with_secret(value: str) -> None:
    everylayer.sensitive(value)
    raise ValueError(f"refused {value}")


def fail(n: int) -> int:
    if n < 0:
        chain()
    return n


def broken_class() -> None:
    class Local(LookupError):
        pass

    raise Local("of a closure")


def sent_away(how: str) -> None:
    error: Exception = Holding() if how == "holding" else Reduced(7)
    raise error


def die(how: str) -> None:
    if how == "exit":
        os._exit(7)
    os.kill(os.getpid(), signal.SIGKILL)


def die_with_a_child(seconds: float) -> None:
    """Leave a process behind that has what this one had open."""
    if os.fork() == 0:
        time.sleep(seconds)
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)


class Worker(everylayer.Process):
    """Has a `run` of its own, which may be that of its base."""

    def __init__(self, message: str, base: bool) -> None:
        super().__init__(target=refuse, args=(message,))
        self._message = message
        self._base = base

    def run(self) -> None:
        """Raise an error, one way or the other."""
        if self._base:
            super().run()
        raise KeyError(self._message)


def stop(code: int) -> None:
    sys.exit(code)


def slow(seconds: float) -> None:
    time.sleep(seconds)
    boom()


def nested(n: int) -> int:
    """Let a pool of this worker's own do it."""
    import multiprocessing

    context = multiprocessing.get_context("fork")
    with everylayer.ProcessPoolExecutor(1, context) as pool:
        return pool.submit(fail, n).result()


def threaded(n: int) -> int:
    """Let a thread of this worker's own do it."""
    with everylayer.ThreadPoolExecutor(1) as pool:
        return pool.submit(fail, n).result()


def where() -> tuple[str, str]:
    """Return trace id and span id of the current span."""
    found = trace.get_current_span().get_span_context()
    return trace.format_trace_id(found.trace_id), trace.format_span_id(found.span_id)


GREETING: contextvars.ContextVar[str] = contextvars.ContextVar("greeting")


def greeting() -> str:
    return GREETING.get()


def what_else() -> list[str]:
    """Return what lies in the context besides the span."""
    from opentelemetry import baggage, context

    return [*baggage.get_all(), *(key for key in context.get_current() if "span" not in key)]


def refuse(why: str) -> None:
    raise RuntimeError(why)
