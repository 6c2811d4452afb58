"""Which layers can only hand an error on, and so need no probe within them."""

from __future__ import annotations

import contextlib
import functools
import inspect
from typing import Any

import pytest
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from everylayer_starlette.passing import passes_on


class Through:
    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


class Chooses:
    def __init__(self, inner: Any, *, host: str = "") -> None:
        self._inner: Any = inner
        self.host = host

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def counted(message: Any) -> None:
            await send({**message, "host": self.host})

        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        await self._other(scope, receive, counted)

    async def _other(self, scope: Any, receive: Any, send: Any) -> None:
        await self._inner(scope, receive, send)


class Derived(Through):
    pass


class Catches:
    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await self.app(scope, receive, send)
        except ValueError:
            scope["caught"] = True


class CatchesItself:
    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        with contextlib.suppress(ValueError):
            await self.app(scope, receive, send)


class Lends:
    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await guarded(self.app, scope, receive, send)


class LendsItself:
    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await run(self, scope, receive, send)


class KeepsTwice:
    def __init__(self, app: Any) -> None:
        self.app = app
        self.spare = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


class Spawns:
    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        work = self.app(scope, receive, send)
        await run(work)


def quietly(call: Any) -> Any:
    async def swallows(*args: Any) -> None:
        with contextlib.suppress(ValueError):
            await call(*args)

    return swallows


class Decorated:
    def __init__(self, app: Any) -> None:
        self.app = app

    @quietly
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


class Wraps:
    app: Any = None

    @staticmethod
    def __call__(scope: Any, receive: Any, send: Any) -> Any:
        return Wraps.app(scope, receive, send)


async def run(*args: Any) -> None:
    pass


async def guarded(app: Any, *args: Any) -> None:
    try:
        await app(*args)
    except ValueError:
        args[0]["caught"] = True


class TakesNothing:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        pass


class Fills:
    __slots__ = ("app",)

    def fill(self, app: Any) -> None:
        self.app = app


class NoArgument:
    def __init__(self) -> None:
        self.app = None


class BlockingIsForbidden(Exception):
    """As blockbuster raises it for a blocking call within the event loop."""


def function(app: Any) -> Any:
    return app


@pytest.mark.parametrize("cls", [Through, Chooses, TrustedHostMiddleware])
def test_what_only_awaits_the_inner_app_passes_on(cls: Any) -> None:
    assert passes_on(cls)


@pytest.mark.parametrize(
    "cls",
    [
        *(
            Derived,
            Catches,
            CatchesItself,
            Lends,
            LendsItself,
            KeepsTwice,
            Spawns,
            Decorated,
            Wraps,
            TakesNothing,
            Fills,
            NoArgument,
            function,
            None,
        ),
        *(BaseHTTPMiddleware, CORSMiddleware, GZipMiddleware, ServerErrorMiddleware, object, dict),
        functools.partial(Through),
    ],
)
def test_what_could_hide_an_error_does_not(cls: Any) -> None:
    assert not passes_on(cls)


def test_a_class_without_source_does_not() -> None:
    names: dict[str, Any] = {}
    exec("class Made:\n def __init__(self, app): self.app = app", names)
    assert not passes_on(names["Made"])


def test_a_class_that_was_patched_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Through.__call__

    @functools.wraps(original)
    async def swallows(self: Any, *args: Any) -> None:
        try:
            await original(self, *args)
        except ValueError:
            args[0]["caught"] = True

    monkeypatch.setattr(Through, "__call__", swallows)
    assert not passes_on(Through)


def test_a_tool_that_forbids_to_read_its_source_here_is_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def blocked(_cls: Any) -> Any:
        raise BlockingIsForbidden

    monkeypatch.setattr(inspect, "getsourcelines", blocked)
    assert not passes_on(Through)
