"""A step of the user's own code, and one sentence of what it failed by."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import TypeVar

from ..chain import traceback_of
from ..text import message_of, one_line
from .missing import missing_module, missing_service
from .wire import TargetError

T = TypeVar("T")


def run(step: Callable[[], T], what: str) -> T:
    """Return what `step` returns.

    Args:
        step: runs code of the user's.
        what: says so at the beginning of a sentence.

    Raises:
        TargetError: it failed, by whatever exception.
    """
    try:
        return step()
    except TargetError:
        raise
    except SystemExit as exc:
        raise failure(f"{what} ended the process (SystemExit: {exc.code})", exc) from exc
    except ModuleNotFoundError as exc:
        text = missing_module(exc.name, what) if exc.name else f"{what} failed: {describe(exc)}"
        raise failure(text, exc) from exc
    except BaseException as exc:
        text = missing_service(exc) or f"{what} failed: {describe(exc)}"
        raise failure(text, exc) from exc


def failure(text: str, exc: BaseException) -> TargetError:
    """Return the error that says `text`, with the traceback of `exc` as its details."""
    lines = traceback.format_exception(type(exc), exc, traceback_of(exc))
    return TargetError(text, "".join(lines))


def describe(exc: BaseException) -> str:
    """Return class and message of `exc`, and where it was raised."""
    text = one_line(f"{type(exc).__qualname__}: {message_of(exc)}", 300).rstrip(": ")
    if isinstance(exc, SyntaxError) and exc.filename:
        return text
    frames = traceback.extract_tb(traceback_of(exc))
    return f"{text} ({frames[-1].filename}:{frames[-1].lineno})" if frames else text
