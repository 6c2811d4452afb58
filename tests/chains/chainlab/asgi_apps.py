"""Builds and serves ASGI and Starlette chains."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

from fastapi import Depends, FastAPI
from opentelemetry import trace
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.instrumentation.starlette import StarletteInstrumentor, _InstrumentedStarlette
from opentelemetry.trace import SpanKind
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from contract.drive import call_asgi, scope
from contract.responses import Run
from everylayer_starlette import EveryLayerMiddleware

from .acts import act
from .asgi_model import Model
from .expected import Outcome
from .faults import Fault, make
from .grammar import Chain, Step

ASGIApp = Callable[..., Any]
# Views and what they start are named as functions are.
_VIEW = {"raise": "view", "stream": "chunks", "background": "background", "ok": "view"}


class Plain:
    """A layer as most are: a class that holds the next app."""

    def __init__(self, app: ASGIApp, step: Step, tag: str) -> None:
        self.app = app
        self.step = step
        self.tag = tag

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await _through((scope, receive, send), self.app, self.step, self.tag)


class Slotted:
    """The same without a `__dict__`."""

    __slots__ = ("inner", "step", "tag")

    def __init__(self, app: ASGIApp, step: Step, tag: str) -> None:
        self.inner = app
        self.step = step
        self.tag = tag

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await _through((scope, receive, send), self.inner, self.step, self.tag)


class Spawning(Plain):
    """A layer that has a task do the rest, and waits for it."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        def rest(*call: Any) -> Any:
            return asyncio.get_running_loop().create_task(self.app(*call))

        await _through((scope, receive, send), rest, self.step, self.tag)


class Dispatch(BaseHTTPMiddleware):
    """Starlette's class with a value for a response."""

    def __init__(self, app: ASGIApp, step: Step, tag: str) -> None:
        super().__init__(app)
        self.step = step
        self.tag = tag

    async def dispatch(self, request: Any, call_next: Any) -> Any:
        async def answer(status: int) -> Any:
            return PlainTextResponse(f"answered {status}", status)

        return await act(self.step, self.tag, lambda: call_next(request), answer)


def closure(app: ASGIApp, step: Step, tag: str) -> ASGIApp:
    """A function that returns a function."""

    async def layer(scope: Any, receive: Any, send: Any) -> None:
        await _through((scope, receive, send), app, step, tag)

    return layer


async def _through(call: tuple[Any, Any, Any], app: ASGIApp, step: Step, tag: str) -> None:
    scope, receive, send = call
    begun = False

    async def noted(message: Any) -> None:
        nonlocal begun
        begun = True
        await send(message)

    async def answer(status: int) -> None:
        await PlainTextResponse(f"answered {status}", status)(scope, receive, send)

    await act(step, tag, lambda: app(scope, receive, noted), answer, lambda: begun)


@functools.cache
def _numbered(cls: type, index: int) -> Any:
    """Return the class of layer `index`, so that its name tells which one it is."""
    return type(f"{cls.__name__}{index}", (cls,), {"__slots__": ()} if cls is Slotted else {})


def layer_class(step: Step, index: int) -> Any:
    """Return what makes the layer, and how a span must name it."""
    if step.kind == "closure":
        return closure
    bases = {"plain": Plain, "slotted": Slotted, "spawning": Spawning, "dispatch": Dispatch}
    return _numbered(bases[step.kind], index)


def _view(step: Step, tag: str) -> Any:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"one"
        if step.does == "stream":
            raise make(step.fault, tag)

    async def background() -> None:
        raise make(step.fault, tag)

    async def view(request: Request) -> Any:
        if step.does == "raise":
            raise make(step.fault, tag)
        if step.does == "background":
            return PlainTextResponse("one", background=BackgroundTask(background))
        return StreamingResponse(chunks())

    return view


def _app(step: Step, tag: str) -> ASGIApp:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if step.does == "raise":
            raise make(step.fault, tag)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        if step.does == "stream":
            raise make(step.fault, tag)
        await send({"type": "http.response.body", "body": b""})

    return app


def _build_plain(chain: Chain, *, ours: bool) -> ASGIApp:
    last = len(chain.steps) - 1
    app = _app(chain.steps[-1], str(last))
    for index in range(last, -1, -1):
        step = chain.steps[index]
        if index < last:
            app = layer_class(step, index)(app, step, str(index))
        if ours and index == chain.entry:
            app = EveryLayerMiddleware(app, **chain.settings())
    return app


def _build_starlette(chain: Chain, *, ours: bool) -> ASGIApp:
    handlers: dict[Any, Any] = {}
    layers: list[Middleware] = []
    dependencies: list[Any] = []
    last = len(chain.steps) - 1
    for index, step in enumerate(chain.steps[:-1]):
        if step.kind in ("on500", "handler"):
            handlers[Exception if step.kind == "on500" else Fault] = _handler(step.status)
        elif step.kind == "dependency":
            dependencies.append(Depends(_dependency(step, str(index))))
        else:
            make_layer = layer_class(step, index)
            layers.append(Middleware(make_layer, step=step, tag=str(index)))
    if ours:
        layers.insert(chain.entry, Middleware(EveryLayerMiddleware, **chain.settings()))
    view = _view(chain.steps[-1], str(last))
    app: Starlette
    if chain.framework == "fastapi":
        own = {} if ours and chain.setup == "native" else _no_telemetry()
        app = FastAPI(openapi_url=None, middleware=layers, exception_handlers=handlers, **own)
        app.add_api_route("/", view, dependencies=dependencies, response_model=None)
    else:
        routes = [Route("/", view)]
        app = Starlette(routes=routes, middleware=layers, exception_handlers=handlers)
    if ours and chain.setup == "stock_app":
        StarletteInstrumentor.instrument_app(app)
        _InstrumentedStarlette._instrumented_starlette_apps.clear()
    return app


@functools.cache
def _no_telemetry() -> dict[str, Any]:
    """Return what keeps FastAPI from beginning a server span, where it can."""
    if "telemetry" not in inspect.signature(FastAPI.__init__).parameters:
        return {}
    return {"telemetry": {"tracing": False, "metrics": False, "logs": False}}


def _dependency(step: Step, tag: str) -> Any:
    async def dependency() -> AsyncIterator[None]:
        if step.does == "before":
            raise make(step.fault, tag)
        try:
            yield
        except Exception as exc:
            match step.does:
                case "from":
                    raise make(step.fault, tag) from exc
                case "none":
                    raise make(step.fault, tag) from None
                case "implicit":
                    raise make(step.fault, tag)  # noqa: B904 - the context alone links them
                case "mutate":
                    exc.args = (f"mutated by {tag}",)
            raise
        if step.does == "after":
            raise make(step.fault, tag)

    return dependency


def _handler(status: int) -> Any:
    async def handle(request: Any, exc: Exception) -> Any:
        return PlainTextResponse(f"answered {status}", status)

    return handle


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    # What a cancelled layer leaves behind is not what is tested.
    loop.set_exception_handler(lambda *_: None)
    return loop


@functools.lru_cache(maxsize=2)
def _build(chain: Chain, *, ours: bool) -> ASGIApp:
    """Return the app of `chain`; one app serves every setup that stands around it."""
    build = _build_plain if chain.framework == "asgi" else _build_starlette
    return build(chain, ours=ours)


def serve(chain: Chain, *, ours: bool) -> Run:
    """Serve one request by `chain`, with everylayer and the span's maker or by itself."""
    around = chain.setup in ("stock", "manual", "none")
    app = _build(replace(chain, setup="alone") if around else chain, ours=ours)
    call = call_asgi(
        OpenTelemetryMiddleware(app) if ours and chain.setup == "stock" else app, scope()
    )
    if not ours or chain.setup != "manual":
        return _loop().run_until_complete(call)
    tracer = trace.get_tracer("app")
    with tracer.start_as_current_span("GET /", kind=SpanKind.SERVER):
        return _loop().run_until_complete(call)


def finish() -> None:
    """Leave nothing behind."""
    _build.cache_clear()


def expect(chain: Chain) -> Outcome:
    """Return what the request must leave behind."""

    def layer_of(exc: BaseException, boundary: int) -> str | None:
        if isinstance(exc, RuntimeError):
            return None  # Starlette's own.
        if type(exc).__name__ == "BaseExceptionGroup":
            return layer_class(chain.steps[boundary], boundary).__name__
        tag = int(type(exc).__name__.rpartition("_")[2])
        step = chain.steps[tag]
        if tag < len(chain.steps) - 1:
            if step.kind == "dependency":
                return "_dependency.dependency"
            return "closure.layer" if step.kind == "closure" else layer_class(step, tag).__name__
        if chain.framework == "asgi":
            return "_app.app"
        return f"_view.{_VIEW[step.does]}"

    return Model(chain, layer_of).run()
