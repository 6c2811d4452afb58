"""Layers of every form that an ASGI chain can have; what they do comes from the contract."""

from __future__ import annotations

import functools
from typing import Any

import anyio
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse

from contract.actions import RAISE_BEFORE, Action, perform_async
from contract.faults import PLAIN, Fault, fault_site


class Calm:
    """Does nothing; stands where a real app has its other layers."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


class Outer(Calm):
    """A calm layer of another name."""


class Inner(Calm):
    """A calm layer of another name."""


class Layer:
    """A pure ASGI class."""

    def __init__(self, app: Any, action: Action = RAISE_BEFORE, fault: Fault = PLAIN) -> None:
        self.app = app
        self.action = action
        self.fault = fault

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        await perform_async(
            self.action,
            self.fault,
            lambda: self.app(scope, receive, send),
            lambda status: _answer(status, scope, receive, send),
        )


class Raiser(Layer):
    """The layer that another layer has to deal with."""


class Held:
    """Keeps the next app in a slot, under a name of its own."""

    __slots__ = ("action", "fault", "inner")

    def __init__(self, app: Any, action: Action = RAISE_BEFORE, fault: Fault = PLAIN) -> None:
        self.inner = app
        self.action = action
        self.fault = fault

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.inner(scope, receive, send)
            return
        await perform_async(
            self.action,
            self.fault,
            lambda: self.inner(scope, receive, send),
            lambda status: _answer(status, scope, receive, send),
        )


class Dispatching(BaseHTTPMiddleware):
    """Starlette's own convenience class."""

    def __init__(self, app: Any, action: Action = RAISE_BEFORE, fault: Fault = PLAIN) -> None:
        super().__init__(app)
        self.action = action
        self.fault = fault

    async def dispatch(self, request: Any, call_next: Any) -> Any:
        async def respond(status: int) -> Any:
            return PlainTextResponse(f"answered {status}", status)

        return await perform_async(self.action, self.fault, lambda: call_next(request), respond)


class CalmDispatching(BaseHTTPMiddleware):
    """Passes on what `call_next` gives, in another task."""

    async def dispatch(self, request: Any, call_next: Any) -> Any:
        return await call_next(request)


def closure_layer(app: Any, action: Action = RAISE_BEFORE, fault: Fault = PLAIN) -> Any:
    """A function that returns a function."""

    async def layer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
            return
        await perform_async(
            action,
            fault,
            lambda: app(scope, receive, send),
            lambda status: _answer(status, scope, receive, send),
        )

    return layer


def partial_layer(app: Any, action: Action = RAISE_BEFORE, fault: Fault = PLAIN) -> Any:
    """A functools.partial of a coroutine function."""
    return functools.partial(_partial_layer, app, action, fault)


async def _partial_layer(
    app: Any, action: Action, fault: Fault, scope: Any, receive: Any, send: Any
) -> None:
    if scope["type"] == "lifespan":
        await app(scope, receive, send)
        return
    await perform_async(
        action,
        fault,
        lambda: app(scope, receive, send),
        lambda status: _answer(status, scope, receive, send),
    )


FORMS: dict[str, tuple[Any, str]] = {
    "class": (Layer, "Layer"),
    "other_name": (Held, "Held"),
    "dispatch": (Dispatching, "Dispatching"),
    "closure": (closure_layer, "closure_layer.layer"),
    "partial": (partial_layer, "_partial_layer"),
}


async def _answer(status: int, scope: Any, receive: Any, send: Any) -> None:
    await PlainTextResponse(f"answered {status}", status)(scope, receive, send)


class AnswersLater(Calm):
    """Remembers that it failed and answers once the `except` block is behind it."""

    def __init__(self, app: Any, status: int = 503) -> None:
        super().__init__(app)
        self.status = status

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        failed = False
        try:
            await self.app(scope, receive, send)
        except Exception:
            failed = True
        if failed:
            await _answer(self.status, scope, receive, send)


class FallsBack(Calm):
    """Answers with another app while the error is still in flight."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await self.app(scope, receive, send)
        except Exception:
            await _answer(200, scope, receive, send)


class InSend(Calm):
    """Fails while it passes the response on."""

    def __init__(self, app: Any, on: str = "http.response.start", fault: Fault = PLAIN) -> None:
        super().__init__(app)
        self.on = on
        self.fault = fault

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def failing(message: Any) -> None:
            if message["type"] == self.on:
                fault_site(self.fault)
            await send(message)

        await self.app(scope, receive, failing)


class InReceive(Calm):
    """Fails while it reads the request for somebody further in."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def failing() -> Any:
            fault_site(PLAIN)

        await self.app(scope, failing, send)


class AfterResponse(Calm):
    """Fails when the response is complete."""

    def __init__(self, app: Any, fault: Fault = PLAIN) -> None:
        super().__init__(app)
        self.fault = fault

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)
        if scope["type"] != "lifespan":
            fault_site(self.fault)


class InFinally(Calm):
    """Replaces the error that passes it by one of its own."""

    def __init__(self, app: Any, fault: Fault = PLAIN) -> None:
        super().__init__(app)
        self.fault = fault

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await self.app(scope, receive, send)
        finally:
            if scope["type"] != "lifespan":
                fault_site(self.fault)


class Grouping(Calm):
    """Runs the rest of the chain in a task group, beside a child that fails."""

    def __init__(self, app: Any, fault: Fault = PLAIN) -> None:
        super().__init__(app)
        self.fault = fault

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        async with anyio.create_task_group() as group:
            group.start_soon(self._fail)

    async def _fail(self) -> None:
        fault_site(self.fault)


class Unbuildable:
    """Cannot be made."""

    def __init__(self, app: Any, fault: Fault = PLAIN) -> None:
        fault_site(fault)


class FreshScope(Calm):
    """Hands on a copy of the scope that keeps only what the specification names."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        known = ("type", "asgi", "method", "path", "root_path", "query_string", "headers", "state")
        kept = {name: scope[name] for name in known if name in scope}
        await self.app(kept if scope["type"] == "http" else scope, receive, send)
