"""Layers of every form that Litestar takes; what they do comes from the contract."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

from litestar.middleware import AbstractMiddleware, ASGIMiddleware, DefineMiddleware

from contract.actions import RAISE_BEFORE, Action, perform_async
from contract.faults import PLAIN, Fault, fault_site


async def answer(send: Any, status: int, body: bytes = b"") -> None:
    """Respond as a layer of its own does."""
    await send({"type": "http.response.start", "status": status, "headers": [(b"x-by", b"layer")]})
    await send({"type": "http.response.body", "body": body or f"answered {status}".encode()})


async def act(app: Any, action: Action, fault: Fault, scope: Any, receive: Any, send: Any) -> None:
    """Do what `action` says around `app`."""
    await perform_async(
        action,
        fault,
        lambda: app(scope, receive, send),
        lambda status: answer(send, status),
    )


class Modern(ASGIMiddleware):
    """What Litestar's documentation recommends."""

    def __init__(self, action: Action = RAISE_BEFORE, fault: Fault = PLAIN) -> None:
        self.action = action
        self.fault = fault

    async def handle(self, scope: Any, receive: Any, send: Any, next_app: Any) -> None:
        await act(next_app, self.action, self.fault, scope, receive, send)


class Raiser(Modern):
    """The layer that another layer has to deal with."""

    async def handle(self, scope: Any, receive: Any, send: Any, next_app: Any) -> None:
        await act(next_app, self.action, self.fault, scope, receive, send)


class Calm(ASGIMiddleware):
    """Does nothing; stands where a real app has its other layers."""

    async def handle(self, scope: Any, receive: Any, send: Any, next_app: Any) -> None:
        await next_app(scope, receive, send)


class AnswersLater(ASGIMiddleware):
    """Remembers that it failed and answers once the `except` block is behind it."""

    def __init__(self, status: int) -> None:
        self.status = status

    async def handle(self, scope: Any, receive: Any, send: Any, next_app: Any) -> None:
        failed = False
        try:
            await next_app(scope, receive, send)
        except Exception:
            failed = True
        if failed:
            await answer(send, self.status)


class Plain:
    """A class like any ASGI middleware."""

    def __init__(self, app: Any, action: Action = RAISE_BEFORE, fault: Fault = PLAIN) -> None:
        self.app = app
        self.action = action
        self.fault = fault

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await act(self.app, self.action, self.fault, scope, receive, send)


with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)

    class Abstract(AbstractMiddleware):
        """What Litestar's documentation recommended before; its `__call__` is wrapped."""

        def __init__(self, app: Any, action: Action = RAISE_BEFORE, fault: Fault = PLAIN) -> None:
            super().__init__(app)
            self.action = action
            self.fault = fault

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await act(self.app, self.action, self.fault, scope, receive, send)


def closure(app: Any, action: Action = RAISE_BEFORE, fault: Fault = PLAIN) -> Any:
    """A function that returns a function."""

    async def layer(scope: Any, receive: Any, send: Any) -> None:
        await act(app, action, fault, scope, receive, send)

    return layer


class InSend(ASGIMiddleware):
    """Fails while it passes the response on."""

    def __init__(self, on: str, fault: Fault = PLAIN) -> None:
        self.on = on
        self.fault = fault

    async def handle(self, scope: Any, receive: Any, send: Any, next_app: Any) -> None:
        async def failing(message: Any) -> None:
            if message["type"] == self.on:
                fault_site(self.fault)
            await send(message)

        await next_app(scope, receive, failing)


Form = Callable[[Action, Fault], Any]
# How it is given to Litestar, and what it is called.
FORMS: dict[str, tuple[Form, str]] = {
    "modern": (lambda action, fault: Modern(action, fault), "Modern"),
    "define": (
        lambda action, fault: DefineMiddleware(Plain, action=action, fault=fault),
        "Plain",
    ),
    "abstract": (
        lambda action, fault: DefineMiddleware(Abstract, action=action, fault=fault),
        "Abstract",
    ),
    "closure": (
        lambda action, fault: functools.partial(closure, action=action, fault=fault),
        "closure.layer",
    ),
    "tuple": (lambda action, fault: (Plain, {"action": action, "fault": fault}), "Plain"),
}
