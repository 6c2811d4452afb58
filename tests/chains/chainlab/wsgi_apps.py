"""Builds and serves Flask chains."""

from __future__ import annotations

import contextvars
import functools
import logging
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import flask
from opentelemetry import trace
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.trace import SpanKind
from werkzeug.routing import Map

from contract.drive import environ, run_wsgi
from contract.responses import Run
from everylayer_flask import EveryLayer

from .acts import act, at_once
from .expected import Outcome
from .faults import Fault, make
from .grammar import Chain, Step
from .wsgi_model import Model, is_layer

WSGIApp = Callable[..., Iterable[bytes]]

NAME = "chainlab_shop"
# Flask reads the level; nobody reads the records.
logging.getLogger(NAME).addHandler(logging.NullHandler())
logging.getLogger(NAME).propagate = False


class Wsgi:
    """A layer as most are: a class that holds the next app."""

    def __init__(self, app: WSGIApp, step: Step, tag: str) -> None:
        self.app = app
        self.step = step
        self.tag = tag

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        return _through((environ, start_response), self.app, self.step, self.tag)


class Spawning(Wsgi):
    """A layer that has a thread do the rest, and waits for it."""

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        def rest(*call: Any) -> Iterable[bytes]:
            with ThreadPoolExecutor(1) as pool:
                return pool.submit(contextvars.copy_context().run, self.app, *call).result()

        return _through((environ, start_response), rest, self.step, self.tag)


def closure(app: WSGIApp, step: Step, tag: str) -> WSGIApp:
    """A function that returns a function."""

    def layer(environ: Any, start_response: Any) -> Iterable[bytes]:
        return _through((environ, start_response), app, step, tag)

    return layer


def _through(call: tuple[Any, Any], app: WSGIApp, step: Step, tag: str) -> Any:
    request, start_response = call
    begun: list[str] = []
    caught: list[Any] = []

    def noted(status: str, headers: Any, exc_info: Any = None) -> Any:
        # A response that replaces another must come with the error.
        exc_info = exc_info or (caught[-1] if begun else None)
        begun.append(status)
        return start_response(status, headers, exc_info)

    async def proceed() -> Iterable[bytes]:
        try:
            return app(request, noted)
        except Exception:
            caught.append(sys.exc_info())
            raise

    async def answer(status: int) -> Iterable[bytes]:
        noted(f"{status} Answered", [("Content-Type", "text/plain")])
        return [b"answered"]

    return at_once(act(step, tag, proceed, answer))


@functools.cache
def layer_class(kind: str, index: int) -> Any:
    """Return the class of layer `index`, with code of its own: layers are known by it."""
    base = {"wsgi": Wsgi, "spawning": Spawning}[kind]
    call = base.__call__
    own = types.FunctionType(
        call.__code__.replace(co_firstlineno=1000 + index), call.__globals__, "__call__"
    )
    return type(f"{base.__name__}{index}", (base,), {"__call__": own})


def _view(step: Step, tag: str) -> Any:
    def chunks() -> Iterator[str]:
        yield "one"
        if step.does == "stream":
            raise make(step.fault, tag)

    def view() -> Any:
        if step.does == "raise":
            raise make(step.fault, tag)
        return chunks() if step.does == "stream" else "one"

    return view


def _hook(step: Step, tag: str) -> Any:
    def hook(*response: Any) -> Any:
        if step.does != "pass":
            raise make(step.fault, tag)
        return response[0] if response else None

    return hook


def _register(app: flask.Flask, chain: Chain) -> None:
    for index, step in enumerate(chain.steps[:-1]):
        if step.kind == "before_hook":
            app.before_request(_hook(step, str(index)))
        elif step.kind == "after_hook":
            app.after_request(_hook(step, str(index)))
        elif step.kind in ("handler", "on500"):
            app.register_error_handler(
                Fault if step.kind == "handler" else 500, _handler(step.status)
            )
    last = len(chain.steps) - 1
    app.url_map = _routes()
    app.endpoint("view")(_view(chain.steps[-1], str(last)))


@functools.cache
def _routes() -> Map:
    """Return what all chains route by: to compile a rule takes longer than a request."""
    app = _shop()
    app.add_url_rule("/", "view")
    return app.url_map


def _shop() -> flask.Flask:
    # To look for what an app has on disk takes longer too.
    return flask.Flask(NAME, static_folder=None, root_path="/", instance_path="/")


def _handler(status: int) -> Any:
    return lambda exc: (f"answered {status}", status)


@functools.lru_cache(maxsize=2)
def _build(chain: Chain, *, ours: bool) -> flask.Flask:
    app = _shop()
    if ours and chain.setup == "stock_first":
        FlaskInstrumentor.instrument_app(app)
    _register(app, chain)
    layers = [(i, s) for i, s in enumerate(chain.steps[:-1]) if is_layer(s)]
    for put, (index, step) in enumerate([*reversed(layers), (-1, chain.steps[-1])]):
        if ours and put == min(chain.entry, len(layers)):
            EveryLayer(app, **chain.settings())
        if index >= 0:
            make_layer = closure if step.kind == "closure" else layer_class(step.kind, index)
            app.wsgi_app = make_layer(app.wsgi_app, step, str(index))  # type: ignore[method-assign]
    if ours and chain.setup == "stock_last":
        FlaskInstrumentor.instrument_app(app)
    return app


def serve(chain: Chain, *, ours: bool) -> Run:
    """Serve one request by `chain`, with everylayer and the span's maker or by itself."""
    app = _build(
        replace(chain, setup="alone") if chain.setup in ("manual", "none") else chain, ours=ours
    )
    if not ours or chain.setup != "manual":
        return run_wsgi(app, environ())
    with trace.get_tracer("app").start_as_current_span("GET /", kind=SpanKind.SERVER):
        return run_wsgi(app, environ())


def finish() -> None:
    """Leave nothing behind."""
    _build.cache_clear()


def expect(chain: Chain) -> Outcome:
    """Return what the request must leave behind."""

    def layer_of(exc: BaseException, boundary: int) -> str | None:
        tag = int(type(exc).__name__.rpartition("_")[2])
        step = chain.steps[tag]
        if tag == len(chain.steps) - 1:
            return f"_view.{'chunks' if step.does == 'stream' else 'view'}"
        if not is_layer(step):
            return "_hook.hook"
        return "closure.layer" if step.kind == "closure" else layer_class(step.kind, tag).__name__

    return Model(chain, layer_of).run()
