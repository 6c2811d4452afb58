"""The tenant of a request, set around all of Django's middleware where the settings ask for it."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Iterator
from contextvars import Token
from typing import Any
from weakref import WeakSet

from django.http import HttpRequest

from everylayer.boundaries.tenant import CURRENT, leave
from everylayer.boundaries.tenant_seams import KEY, enter
from everylayer.boundaries.tenant_source import Policy, policy_of
from everylayer.chain import drop_frame
from everylayer.failsafe import contained
from everylayer.settings import Settings

_NAMES = ("get_response", "get_response_async")
# Handlers that have these on the instance: nobody else pays for asking.
_surrounded: WeakSet[Any] = WeakSet()


def surround(handler: Any, settings: Settings) -> None:
    """Set the tenant around the requests of `handler`, if `settings` ask for it."""
    policy = policy_of(settings)
    if policy is None:
        release(handler)
        return
    state = vars(handler)
    state["get_response"] = functools.partial(_respond, handler, policy)
    state["get_response_async"] = functools.partial(_respond_async, handler, policy)
    _surrounded.add(handler)


def release(handler: Any) -> None:
    """Ask no more for the tenants of `handler`."""
    if handler in _surrounded:
        _surrounded.discard(handler)
        for name in _NAMES:
            vars(handler).pop(name, None)


def release_all() -> None:
    """Put every handler back."""
    for handler in list(_surrounded):
        release(handler)


def _respond(handler: Any, policy: Policy, request: HttpRequest) -> Any:
    token = _enter(policy, request)
    try:
        response = type(handler).get_response(handler, request)
        _follow(response)
    except BaseException as exc:
        drop_frame(exc)
        raise
    finally:
        if token is not None:
            leave(token)
    return response


async def _respond_async(handler: Any, policy: Policy, request: HttpRequest) -> Any:
    token = _enter(policy, request)
    try:
        response = await type(handler).get_response_async(handler, request)
        _follow(response)
    except BaseException as exc:
        drop_frame(exc)
        raise
    finally:
        if token is not None:
            leave(token)
    return response


def _enter(policy: Policy, request: HttpRequest) -> Token[str | None] | None:
    scope = getattr(request, "scope", None)
    carrier = request.META if scope is None else scope
    # Set already, around Django as a whole. Not put in here: META shows on debug pages.
    return None if KEY in carrier else enter(policy, carrier)


@contained
def _follow(response: Any) -> None:
    """Let a streamed body be made for the tenant, inside of what watches it already."""
    state = vars(response)
    if not getattr(response, "streaming", False) or state.get("_iterator") is None:
        return
    name = CURRENT.get()
    outer = state["_iterator"]
    kind = AsyncBody if state.get("is_async") else Body
    if hasattr(outer, "wrap"):
        outer.wrap(lambda body: kind(body, name))
    else:
        state["_iterator"] = kind(outer, name)


class Body:
    """A body of a synchronous iterator, made for a tenant."""

    __slots__ = ("_body", "_name")

    def __init__(self, body: Any, name: str | None) -> None:
        self._body = body
        self._name = name

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        token = CURRENT.set(self._name)
        try:
            return next(self._body)
        except StopIteration:
            raise
        except BaseException as exc:
            drop_frame(exc)
            raise
        finally:
            leave(token)


class AsyncBody(Body):
    """A body of an asynchronous iterator."""

    __slots__ = ()

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        token = CURRENT.set(self._name)
        try:
            return await self._body.__anext__()
        except StopAsyncIteration:
            raise
        except BaseException as exc:
            drop_frame(exc)
            raise
        finally:
            leave(token)
