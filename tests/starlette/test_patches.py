"""Patches: put in place once, taken back whole, and never the app's problem."""

from __future__ import annotations

import functools
import logging
from collections.abc import Generator, Iterator
from typing import Any

import fastapi
import pytest
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from asgi_drive import Request, converse
from asgi_kit import Kit
from asgi_layers import AnswersLater, Calm, Raiser
from cases_layers import CALM_ROUTES
from cases_plain import end, failing_end
from contract.expect import ESCAPED, HANDLED, check
from contract.faults import PLAIN
from contract.telemetry import Telemetry, error_events
from everylayer.failsafe import own_failures
from everylayer_starlette import EveryLayerMiddleware, interleave, patches

OK = Request()
PATCHED = ("__call__", "add_middleware", "build_middleware_stack")


@pytest.fixture
def unpatched() -> Iterator[None]:
    patches.remove()
    yield
    patches.install()


def state() -> list[Any]:
    return [vars(cls).get(name) for cls in (Starlette, fastapi.FastAPI) for name in PATCHED]


def test_removed_whole_and_put_back_once(unpatched: None) -> None:
    before = state()
    assert "__init_subclass__" not in vars(Starlette)
    patches.install()
    first = state()
    patches.install()
    assert state() == first
    assert first != before
    patches.remove()
    assert state() == before
    assert "__init_subclass__" not in vars(Starlette)


def test_a_subclass_made_later_is_patched_and_let_go(unpatched: None) -> None:
    patches.install()

    class Late(Starlette):
        def build_middleware_stack(self) -> Any:
            return super().build_middleware_stack()

    patched = Late.build_middleware_stack
    patches.remove()
    assert Late.build_middleware_stack is not patched


def test_a_starlette_that_is_unknown_is_said_once_and_covered_from_within(
    unpatched: None, telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    added = Starlette.add_middleware
    del Starlette.add_middleware
    try:
        with caplog.at_level(logging.WARNING, "everylayer"):
            patches.install()
        app = Starlette(
            routes=CALM_ROUTES,
            middleware=[
                Middleware(EveryLayerMiddleware),
                Middleware(AnswersLater, status=200),
                Middleware(Raiser),
            ],
        )
        assert converse(app, OK).status == 200
    finally:
        Starlette.add_middleware = added  # type: ignore[method-assign]
    (said,) = [record.message for record in caplog.records if "does not know" in record.message]
    assert "Starlette.add_middleware" in said
    check(telemetry.spans, PLAIN, HANDLED)


def test_stock_that_came_before_the_patches(unpatched: None, telemetry: Telemetry) -> None:
    with Kit().active() as kit:
        app = fastapi.FastAPI(**kit.telemetry())
        app.get("/")(calm)
        FastAPIInstrumentor.instrument_app(app)
        patches.install()
        app.add_middleware(Raiser)
        app.add_middleware(AnswersLater, status=200)
        app.add_middleware(EveryLayerMiddleware)
        assert converse(app, OK).status == 200
    check(telemetry.spans, PLAIN, HANDLED)


@pytest.mark.parametrize("lifespan", [True, False], ids=["served", "called"])
def test_the_first_line_to_name_the_middleware_puts_the_patches_in_place(
    unpatched: None, telemetry: Telemetry, lifespan: bool
) -> None:
    """`app.add_middleware(everylayer_starlette.EveryLayerMiddleware)` looks the method up first."""
    with Kit().active() as kit:
        app = fastapi.FastAPI(**kit.telemetry())
        app.get("/")(failing_view)
        app.add_exception_handler(LookupError, forgiving)
        app.add_middleware(BaseHTTPMiddleware, dispatch=calling_next)
        FastAPIInstrumentor.instrument_app(app)
        add_middleware = app.add_middleware
        patches.install()
        add_middleware(EveryLayerMiddleware)
        if lifespan:
            converse(app, Request(kind="lifespan"))
        assert converse(app, OK).status == 409
    (event,) = error_events(telemetry.spans)
    assert (event.event.attributes or {})["exception.message"] == "no such book"


async def failing_view() -> Any:
    raise LookupError("no such book")


async def forgiving(request: Any, error: Exception) -> Any:
    return PlainTextResponse("forgiven", 409)


async def calling_next(request: Any, call_next: Any) -> Any:
    return await call_next(request)


async def calm() -> Any:
    return {}


class Slotted:
    """A factory without attributes of its own, which makes a layer that cannot be changed."""

    __slots__ = ()

    def __call__(self, app: Any) -> Any:
        return Frozen(app)


class Frozen(Calm):
    def __init__(self, app: Any) -> None:
        object.__setattr__(self, "app", app)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("frozen")


def test_layers_that_refuse_to_be_looked_at(telemetry: Telemetry) -> None:
    app = Starlette(routes=CALM_ROUTES)
    app.add_middleware(Raiser)
    app.add_middleware(Slotted())
    app.add_middleware(functools.partial(Calm))
    app.add_middleware(EveryLayerMiddleware)
    assert converse(app, OK).status == 500
    check(telemetry.spans, PLAIN, ESCAPED)


def test_a_frozen_chain_works_and_is_seen_from_further_out(telemetry: Telemetry) -> None:
    assert converse(EveryLayerMiddleware(Frozen(end)), OK).status == 200
    telemetry.clear()
    converse(EveryLayerMiddleware(Frozen(failing_end)), OK)
    check(telemetry.spans, PLAIN, ESCAPED)


class Endpoint:
    """A class as an endpoint whose `__init__` looks like an ASGI app."""

    def __init__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asgi = (scope, receive, send)

    def __await__(self) -> Generator[Any, None, None]:
        return PlainTextResponse("fine")(*self.asgi).__await__()


def test_the_methods_of_an_endpoint_are_left_alone(telemetry: Telemetry) -> None:
    init = vars(Endpoint)["__init__"]
    app = Starlette(routes=[Route("/", Endpoint)])
    app.add_middleware(EveryLayerMiddleware)
    assert converse(app, OK).status == 200
    assert vars(Endpoint)["__init__"] is init


def test_a_chain_that_bites_its_tail(telemetry: Telemetry) -> None:
    inner = Calm(failing_end)
    outer = Calm(inner)
    inner.parent = outer  # type: ignore[attr-defined]
    converse(EveryLayerMiddleware(outer), OK)
    check(telemetry.spans, PLAIN, ESCAPED)


def test_a_bug_of_ours_at_build_time_is_no_bug_of_the_app(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any) -> Any:
        raise RuntimeError("ours")

    for name in ("show_handlers", "_inside_of"):
        before = sum(own_failures().values())
        with monkeypatch.context() as patch:
            patch.setattr(interleave, name, broken)
            app = Starlette(routes=CALM_ROUTES)
            app.add_middleware(Calm)
            app.add_middleware(EveryLayerMiddleware)
            assert converse(app, OK).status == 200
        assert sum(own_failures().values()) > before
