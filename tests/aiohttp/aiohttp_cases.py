"""The table of cases: an app, and what the trace of a request to it must show."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from aiohttp import web

from aiohttp_kit import Application, Handler, Kit
from contract.actions import (
    ACTIONS,
    CONVERT,
    RAISE_BEFORE,
    RERAISE,
    SWALLOW,
    Action,
    perform_async,
)
from contract.expect import ESCAPED, HANDLED, LATE, NOTHING, Expected
from contract.faults import FAULTS, PLAIN, Fault, fault_site

Build = Callable[[Kit], web.Application]


@dataclass(frozen=True)
class Case:
    """One row.

    Attributes:
        name: id of the case.
        build: makes the app.
        fault: what is raised.
        expected: the outcome.
        path: what is asked for.
    """

    name: str
    build: Build
    fault: Fault = PLAIN
    expected: Expected = ESCAPED
    path: str = "/"

    def __str__(self) -> str:
        return self.name


CASES: list[Case] = []


def case(name: str, expected: Expected = ESCAPED, **more: Any) -> Callable[[Build], Build]:
    """Add the decorated builder to the table."""

    def add(build: Build) -> Build:
        CASES.append(Case(name, build, expected=expected, **more))
        return build

    return add


async def fine(request: web.Request) -> web.Response:
    return web.Response(text="fine")


def layer(action: Action, fault: Fault) -> Any:
    """Return a middleware that does `action`."""

    @web.middleware
    async def acting(request: web.Request, handler: Handler) -> web.StreamResponse:
        async def respond(status: int) -> web.StreamResponse:
            return web.Response(status=status, text="answered")

        return await perform_async(action, fault, lambda: handler(request), respond)

    return acting


class Instance:
    """A middleware that is an object of a class."""

    __middleware_version__ = 1

    def __init__(self, action: Action, fault: Fault) -> None:
        self._call = layer(action, fault)

    async def __call__(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        answer: web.StreamResponse = await self._call(request, handler)
        return answer


def failing(fault: Fault) -> Handler:
    """Return a handler that fails."""

    async def view(request: web.Request) -> web.StreamResponse:
        fault_site(fault)

    return view


PASSING = layer(RERAISE, PLAIN)
PLACES = ("outer", "inner", "instance", "sub-app")
# Where everything is raised that can be: by each layer, by a handler, and below one that answers.
WITH_ALL = [(place, RAISE_BEFORE) for place in PLACES]
WITH_ALL += [("inner", action) for action in (RERAISE, SWALLOW, CONVERT)]


def built(place: str, action: Action, fault: Fault) -> Build:
    """Return a builder with `action` at one place of a chain; a handler fails unless it does."""

    def build(kit: Kit) -> web.Application:
        acting = (Instance if place == "instance" else layer)(action, fault)
        handler = fine if action.raises else failing(fault)
        outermost = (acting, PASSING) if place in ("outer", "instance") else (PASSING, acting)
        app = kit.app(*(outermost if place != "sub-app" else (PASSING, PASSING)))
        if place == "sub-app":
            sub = Application(middlewares=[PASSING, acting, PASSING])
            sub.router.add_get("/", handler)
            app.add_subapp("/sub", sub)
        else:
            app.router.add_get("/", handler)
        return kit.complete(app)

    return build


def _add_table() -> None:
    for place in PLACES:
        named = "Instance" if place == "instance" else "layer.acting"
        for action in ACTIONS:
            for fault in FAULTS if (place, action) in WITH_ALL else (PLAIN,):
                expected = action.expected(fault, layer="failing.view")
                if not expected.event:
                    expected = NOTHING
                elif action.raises:
                    expected = replace(expected, layer=named, kind="middleware")
                else:
                    expected = replace(expected, kind="view", phase="view")
                path = "/sub/" if place == "sub-app" else "/"
                name = f"{place}-{action}-{fault}"
                CASES.append(Case(name, built(place, action, fault), fault, expected, path))


_add_table()


def answer(cls: type[web.HTTPException]) -> Fault:
    """Return the fault that is one of aiohttp's own answers."""
    where = ("/elsewhere",) if issubclass(cls, web.HTTPMove) else ()
    return Fault(cls.__name__, lambda: cls(*where), cls, cls(*where).reason)


def _add_answers() -> None:
    for cls, of_view, of_layer in (
        (web.HTTPOk, NOTHING, NOTHING),
        (web.HTTPFound, NOTHING, NOTHING),
        (web.HTTPForbidden, NOTHING, HANDLED),
        (web.HTTPNotFound, NOTHING, HANDLED),
        (web.HTTPServiceUnavailable, ESCAPED, ESCAPED),
    ):
        fault = answer(cls)

        def by_view(kit: Kit, fault: Fault = fault) -> web.Application:
            app = kit.app(PASSING)
            app.router.add_get("/", failing(fault))
            return kit.complete(app)

        CASES.append(Case(f"view-answers-{cls.__name__}", by_view, fault, of_view))
        by_layer = built("inner", RAISE_BEFORE, fault)
        CASES.append(Case(f"layer-answers-{cls.__name__}", by_layer, fault, of_layer))


_add_answers()


def app_of(kit: Kit, handler: Any) -> web.Application:
    """Return an app with one handler and two layers that do nothing."""
    app = kit.app(PASSING, PASSING)
    app.router.add_get("/", handler)
    return kit.complete(app)


@case("no-such-path", NOTHING, path="/nowhere")
def no_such_path(kit: Kit) -> web.Application:
    return app_of(kit, fine)


@case("nothing-fails", NOTHING)
def nothing_fails(kit: Kit) -> web.Application:
    return app_of(kit, fine)


@case("class-based-view", replace(ESCAPED, layer="OfClass", kind="view"))
def class_based_view(kit: Kit) -> web.Application:
    return app_of(kit, OfClass)


class OfClass(web.View):
    async def get(self) -> web.StreamResponse:
        fault_site(PLAIN)


TIMEOUT = Fault("timeout", lambda: asyncio.TimeoutError("slow"), asyncio.TimeoutError, "slow")


@case("timeout-is-504", replace(ESCAPED, layer="failing.view"), fault=TIMEOUT)
def timeout_is_504(kit: Kit) -> web.Application:
    return app_of(kit, failing(TIMEOUT))


@case("stream-half-way", replace(ESCAPED, layer="stream", kind="view"))
def stream_half_way(kit: Kit) -> web.Application:
    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"half")
        fault_site(PLAIN)

    stream.__qualname__ = "stream"
    return app_of(kit, stream)


@case("answer-half-way", replace(ESCAPED, kind="view"), fault=answer(web.HTTPForbidden))
def answer_half_way(kit: Kit) -> web.Application:
    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"half")
        fault_site(answer(web.HTTPForbidden))

    return app_of(kit, stream)


@case("body-fails", replace(LATE, phase="response", server_status="UNSET"))
def body_fails(kit: Kit) -> web.Application:
    async def body() -> Any:
        yield b"half"
        fault_site(PLAIN)

    async def view(request: web.Request) -> web.StreamResponse:
        return web.Response(body=body())

    return app_of(kit, view)


async def failing_signal(request: web.Request, response: web.StreamResponse) -> None:
    fault_site(PLAIN)


@case("signal-fails", replace(LATE, layer="failing_signal", kind="hook", phase="response"))
def signal_fails(kit: Kit) -> web.Application:
    app = app_of(kit, fine)
    app.on_response_prepare.append(failing_signal)
    return app


async def failing_once(request: web.Request, response: web.StreamResponse) -> None:
    # Not again for the response that tells of it.
    if type(response) is web.StreamResponse:
        fault_site(PLAIN)


@case("signal-fails-in-stream", replace(ESCAPED, layer="failing_once", kind="hook"))
def signal_fails_in_stream(kit: Kit) -> web.Application:
    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        return response

    app = app_of(kit, stream)
    app.on_response_prepare.append(failing_once)
    return app


@case("signal-of-sub-app", replace(LATE, layer="failing_signal", kind="hook"), path="/sub/")
def signal_of_sub_app(kit: Kit) -> web.Application:
    sub = Application()
    sub.router.add_get("/", fine)
    sub.on_response_prepare.append(failing_signal)
    app = kit.app(PASSING)
    app.add_subapp("/sub", sub)
    return kit.complete(app)


@case("old-style")
def old_style(kit: Kit) -> web.Application:
    async def factory(app: web.Application, handler: Handler) -> Handler:
        async def passing_on(request: web.Request) -> web.StreamResponse:
            return await handler(request)

        return passing_on

    app = kit.app(PASSING)
    app.middlewares.append(factory)  # type: ignore[arg-type]
    app.middlewares.append(PASSING)
    app.router.add_get("/", failing(PLAIN))
    return kit.complete(app)
