"""What an error means: left out, handled, or an ERROR. Pure functions over frozen settings."""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable
from typing import Any

from .chain import is_group, members, raised_in
from .settings import Settings
from .text import class_name


class Verdict(enum.Enum):
    """What becomes of an error that a seam saw."""

    IGNORE = "ignore"
    HANDLED = "handled"
    ERROR = "error"


ClientStatus = Callable[[BaseException], "int | None"]


def no_client_status(exc: BaseException) -> int | None:
    """Give no exception a client status: plain ASGI and WSGI know none."""
    return None


# What a client that goes away leaves behind, by name: asyncio is much to load for one class.
_GONE_NAMES = frozenset(
    {
        "asyncio.exceptions.CancelledError",
        "litestar.exceptions.websocket_exceptions.WebSocketDisconnect",
        "starlette.requests.ClientDisconnect",
        "starlette.websockets.WebSocketDisconnect",
        "django.core.exceptions.RequestAborted",
        "trio.Cancelled",
        "uvicorn.protocols.utils.ClientDisconnected",
    }
)
# A class that says other things too: of a body that is read, this says that the client has left.
_HALF_READ = frozenset({"litestar.exceptions.http_exceptions.InternalServerException"})
_HALF_READ_SAYS = "client disconnected prematurely"
_LAYER_KINDS = frozenset({"middleware", "hook"})
_MAX_MEMBERS = 1000
# Read through `type`: a metaclass may do as it likes with attribute access.
_mro: Any = type.__dict__["__mro__"].__get__
_name: Any = type.__dict__["__name__"].__get__


def is_departure(exc: BaseException) -> bool:
    """Tell whether `exc` only says that the client, or the task's owner, went away.

    A group does if all its leaves do. One too large to look through counts as an error.
    """
    if not is_group(exc):
        return _says_gone(exc)
    queue, seen = [exc], {id(exc)}
    for current in queue:
        if is_group(current):
            for member in members(current):
                if id(member) not in seen:
                    if len(queue) >= _MAX_MEMBERS:
                        return False
                    seen.add(id(member))
                    queue.append(member)
        elif not _says_gone(current):
            return False
    return True


def _says_gone(exc: BaseException) -> bool:
    return (
        issubclass(type(exc), GeneratorExit)
        or matches(exc, _GONE_NAMES)
        or (
            matches(exc, _HALF_READ)
            and raised_in(exc, "litestar.connection")
            and getattr(exc, "detail", None) == _HALF_READ_SAYS
        )
    )


def matches(exc: BaseException, names: frozenset[str] | tuple[str, ...]) -> bool:
    """Tell whether the class of `exc`, or one it derives from, has one of these dotted names."""
    if not names:
        return False
    bare = _bare(names)
    # The full name is dear, and nearly never needed.
    return any(_name(cls) in bare and class_name(cls) in names for cls in _mro(type(exc)))


@functools.lru_cache(maxsize=64)
def _bare(names: frozenset[str] | tuple[str, ...]) -> frozenset[str]:
    return frozenset(name.rpartition(".")[2] for name in names)


def judge(
    exc: BaseException,
    settings: Settings,
    *,
    layer_kind: str,
    client_status: int | None,
    response_status: int | None,
    escaped: bool,
    handled: bool | None,
) -> Verdict:
    """Decide what `exc` means, once the outcome of its request is known.

    Args:
        exc: the error.
        settings: the rules in force.
        layer_kind: kind of the layer it began in.
        client_status: the 3xx or 4xx status the framework itself gives this exception, or None.
        response_status: status of the final response, None where there was none.
        escaped: it left the app, or arose after the response had started and went on.
        handled: what the caller of `everylayer.record` said, None where nobody did.
    """
    if is_departure(exc) or matches(exc, settings.ignored):
        return Verdict.IGNORE
    failed = escaped or (response_status is not None and response_status >= 500)
    if client_status is not None and not failed:
        if client_status < 400 or settings.client_errors == "none":
            return Verdict.IGNORE
        if settings.client_errors == "layers" and layer_kind not in _LAYER_KINDS:
            return Verdict.IGNORE
        return Verdict.HANDLED
    if matches(exc, settings.expected):
        return Verdict.HANDLED
    if handled is not None:
        return Verdict.HANDLED if handled else Verdict.ERROR
    if failed or response_status is None:
        return Verdict.ERROR
    return Verdict.HANDLED
