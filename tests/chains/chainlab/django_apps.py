"""Builds and serves Django chains: synchronous under WSGI, asynchronous under ASGI."""

from __future__ import annotations

import asyncio
import functools
import warnings
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_started
from django.db import close_old_connections, reset_queries
from django.http import HttpResponse, StreamingHttpResponse
from django.test.utils import override_settings
from django.urls import path
from django.utils.decorators import sync_and_async_middleware
from opentelemetry import trace
from opentelemetry.instrumentation.django import DjangoInstrumentor
from opentelemetry.trace import SpanKind

from contract import django_settings
from contract.drive import call_asgi, environ, run_wsgi, scope
from contract.responses import Run
from everylayer_django import patches

from .acts import act_on_response, at_once
from .django_model import Model
from .expected import Outcome
from .faults import make
from .grammar import Chain, Step

django_settings.configure()

ENTRY = "everylayer_django.EveryLayerMiddleware"
ASYNC = "django_async"

# What layers and the view read when they are made: MIDDLEWARE holds nothing but names.
_chain = Chain("django", (Step("view"),))


def _status_of(response: Any) -> int:
    status: int = response.status_code
    return status


async def _answer(status: int) -> Any:
    return HttpResponse(f"answered {status}", status=status)


class Layer:
    """A class for both modes."""

    sync_capable = async_capable = True
    index: int

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response
        self.step = _chain.steps[self.index]
        self.asynchronous = iscoroutinefunction(get_response)
        if self.asynchronous:
            markcoroutinefunction(self)

    def __call__(self, request: Any) -> Any:
        if self.asynchronous:
            return self.call(request)

        async def proceed() -> Any:
            return self.get_response(request)

        return at_once(act_on_response(self.step, str(self.index), proceed, _answer, _status_of))

    async def call(self, request: Any) -> Any:
        return await act_on_response(
            self.step, str(self.index), lambda: self.get_response(request), _answer, _status_of
        )


class Sync(Layer):
    """A class that Django has to move to a thread under ASGI."""

    async_capable = False


class ViewHook(Layer):
    def process_view(self, request: Any, view: Any, args: Any, kwargs: Any) -> None:
        if self.step.does == "hook":
            raise make(self.step.fault, str(self.index))


class ExceptionHook(Layer):
    def process_exception(self, request: Any, exception: Exception) -> Any:
        if self.step.does == "hook":
            raise make(self.step.fault, str(self.index))
        if self.step.does == "answer":
            return HttpResponse("from the hook", status=self.step.status)
        return None


_KINDS = {"layer": Layer, "sync": Sync, "view_hook": ViewHook, "exception_hook": ExceptionHook}


@functools.cache
def _numbered(kind: str, index: int) -> Any:
    cls = _KINDS[kind]
    return type(f"{cls.__name__}{index}", (cls,), {"index": index, "__module__": __name__})


@functools.cache
def _function(index: int) -> Any:
    @sync_and_async_middleware
    def function(get_response: Any) -> Any:
        step = _chain.steps[index]

        def layer(request: Any) -> Any:
            async def proceed() -> Any:
                return get_response(request)

            return at_once(act_on_response(step, str(index), proceed, _answer, _status_of))

        async def async_layer(request: Any) -> Any:
            return await act_on_response(
                step, str(index), lambda: get_response(request), _answer, _status_of
            )

        # Which of them stands depends on the layers inside: one name for both.
        async_layer.__qualname__ = layer.__qualname__
        return async_layer if iscoroutinefunction(get_response) else layer

    return function


def __getattr__(name: str) -> Any:
    """Make what MIDDLEWARE names: `layer_3`, `view_hook_0`."""
    kind, _, index = name.rpartition("_")
    if kind == "function":
        return _function(int(index))
    if kind in _KINDS:
        return _numbered(kind, int(index))
    raise AttributeError(name)


def view(request: Any) -> Any:
    step, tag = _chain.steps[-1], str(len(_chain.steps) - 1)

    def chunks() -> Iterator[bytes]:
        yield b"one"
        raise make(step.fault, tag)

    if step.does == "raise":
        raise make(step.fault, tag)
    return StreamingHttpResponse(chunks()) if step.does == "stream" else HttpResponse("one")


async def async_view(request: Any) -> Any:
    step, tag = _chain.steps[-1], str(len(_chain.steps) - 1)

    async def chunks() -> AsyncIterator[bytes]:
        yield b"one"
        raise make(step.fault, tag)

    if step.does == "raise":
        raise make(step.fault, tag)
    return StreamingHttpResponse(chunks()) if step.does == "stream" else HttpResponse("one")


def handler500(request: Any) -> Any:
    """Answer at once: Django's own looks for a template."""
    return HttpResponse("server error", status=500)


urlpatterns = [path("", view), path("async", async_view)]


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


@functools.cache
def _own_settings() -> Any:
    """Put the lab's settings in force, until `finish`."""
    own = override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=[], EVERYLAYER={})
    own.enable()
    # Without a database they do nothing, in a thread of their own under ASGI.
    for receiver in (reset_queries, close_old_connections):
        request_started.disconnect(receiver)
    return own


def finish() -> None:
    """Leave nothing behind."""
    _uncover()
    if _own_settings.cache_info().currsize:
        _own_settings().disable()
        _own_settings.cache_clear()
        for receiver in (reset_queries, close_old_connections):
            request_started.connect(receiver)


def _uncover() -> None:
    patches.uninstall()
    _handler.cache_clear()


@functools.lru_cache(maxsize=2)
def _handler(chain: Chain, *, ours: bool) -> Any:
    names = [f"{__name__}.{step.kind}_{i}" for i, step in enumerate(chain.steps[:-1])]
    if ours:
        names.insert(chain.entry, ENTRY)
    settings.MIDDLEWARE = names
    settings.EVERYLAYER = chain.settings()
    if ours and chain.setup == "stock":
        DjangoInstrumentor().instrument(skip_dep_check=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ASGIHandler() if chain.framework == ASYNC else WSGIHandler()


def serve(chain: Chain, *, ours: bool) -> Run:
    """Serve one request by `chain`, with everylayer and the span's maker or by itself."""
    global _chain
    _chain = chain
    _own_settings()
    if not ours:
        _uncover()
    try:
        handler = _handler(
            replace(chain, setup="alone") if chain.setup in ("manual", "none") else chain, ours=ours
        )
        if not ours or chain.setup != "manual":
            return _serve(handler, chain)
        with trace.get_tracer("app").start_as_current_span("GET /", kind=SpanKind.SERVER):
            return _serve(handler, chain)
    finally:
        if ours and chain.setup == "stock":
            DjangoInstrumentor().uninstrument()
            _handler.cache_clear()


def _serve(handler: Any, chain: Chain) -> Run:
    if chain.framework == ASYNC:
        return _loop().run_until_complete(call_asgi(handler, scope("/async")))
    return run_wsgi(handler, environ())


def expect(chain: Chain) -> Outcome:
    """Return what the request must leave behind."""

    def layer_of(exc: BaseException, boundary: int) -> str | None:
        tag = int(type(exc).__name__.rpartition("_")[2])
        kind = chain.steps[tag].kind
        if kind == "view":
            return "async_view" if chain.framework == ASYNC else "view"
        if kind == "function":
            return "function.layer"
        return str(_numbered(kind, tag).__name__)

    return Model(chain, layer_of).run()
