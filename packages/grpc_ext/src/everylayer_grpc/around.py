"""What stands around the outermost seam, on servers whose settings ask for it.

It is the tenant of an RPC, and under asyncio a context that tells where an error began.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from grpc import aio

from everylayer.boundaries.tenant import CURRENT, leave
from everylayer.boundaries.tenant_seams import Body, enter
from everylayer.boundaries.tenant_source import Policy, policy_of
from everylayer.chain import drop_frame
from everylayer.settings import Settings

from .handlers import Behavior, Kind, behavior_of, kind_of, with_behavior
from .request import scope_of
from .telling import TellingContext
from .trailing import tells


class Around(grpc.ServerInterceptor):
    """Sets the tenant around all of an RPC, so that its span already begins under it."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        handler = continuation(details)
        if handler is None:
            return None
        behavior = behavior_of(handler)
        return with_behavior(handler, _for_tenant(behavior, self._policy, details), behavior)


class AioAround(aio.ServerInterceptor):
    """The same for asyncio.

    Args:
        policy: how tenants are found, None where nobody asks.
        telling: aborts are to tell where an error began.
    """

    def __init__(self, policy: Policy | None, telling: bool) -> None:
        self._policy = policy
        self._telling = telling

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], details: Any
    ) -> Any:
        handler = await continuation(details)
        if handler is None:
            return None
        behavior = behavior_of(handler)
        made = behavior
        # The outermost seam has made a coroutine of any generator.
        if kind_of(behavior) is Kind.COROUTINE:
            made = _called(behavior, self._policy, self._telling, details)
        elif self._policy is not None:
            made = _for_tenant(behavior, self._policy, details)
        return with_behavior(handler, made, behavior)


def around(settings: Settings) -> list[Any]:
    """Return what stands around the seam of a synchronous server."""
    policy = policy_of(settings)
    return [] if policy is None else [Around(policy)]


def aio_around(settings: Settings) -> list[Any]:
    """Return what stands around the seam of an asyncio server."""
    policy, telling = policy_of(settings), settings.enabled and tells(settings)
    return [AioAround(policy, telling)] if policy is not None or telling else []


def _for_tenant(behavior: Behavior, policy: Policy, details: Any) -> Behavior:
    def serve(request: Any, context: Any, *more: Any) -> Any:
        scope = scope_of(details.method, details.invocation_metadata or (), context)
        token = enter(policy, scope)
        name = CURRENT.get()
        try:
            response = behavior(request, context, *more)
        except BaseException as exc:
            drop_frame(exc)
            raise
        finally:
            leave(token)
        return Body(response, name) if hasattr(response, "__next__") else response

    return serve


def _called(behavior: Behavior, policy: Policy | None, telling: bool, details: Any) -> Behavior:
    async def serve(request: Any, context: Any) -> Any:
        token = None
        if policy is not None:
            scope = scope_of(details.method, details.invocation_metadata or (), context)
            token = enter(policy, scope)
        try:
            return await behavior(request, TellingContext(context) if telling else context)
        except BaseException as exc:
            drop_frame(exc)
            raise
        finally:
            if token is not None:
                leave(token)

    return serve
