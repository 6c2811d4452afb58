"""Build one app many ways: with or without everylayer, at any place, beside any instrumentation."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import fastapi
import starlette.applications
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor, _InstrumentedFastAPI
from opentelemetry.instrumentation.starlette import (
    StarletteInstrumentor,
    _InstrumentedStarlette,
)
from starlette.background import BackgroundTask

POSITIONS = ("first", "middle", "last")
HAS_NATIVE = "telemetry" in inspect.signature(fastapi.FastAPI.__init__).parameters

try:
    from starlette.middleware.opentelemetry import OpenTelemetryMiddleware as StarletteOwn
except ImportError:
    StarletteOwn = None  # type: ignore[assignment, misc]


@dataclass(frozen=True)
class Setup:
    """An instrumentation beside everylayer.

    Attributes:
        name: id of the case.
        frameworks: kinds of app that it is for.
        span: somebody else starts the server span.
        ends_early: and ends it with the last body message.
        innermost: an error of the app's layers may come before it.
        transparent: it leaves no frame of its framework in a traceback.
    """

    name: str
    frameworks: tuple[str, ...] = ("starlette", "fastapi", "asgi")
    span: bool = True
    ends_early: bool = True
    innermost: bool = False
    transparent: bool = True

    def __str__(self) -> str:
        return self.name


BARE = Setup("bare", span=False)
LAST = Setup("instrument_app_last", ("starlette",))
FIRST = Setup("instrument_app_first", ("starlette",), innermost=True)
CLASS = Setup("instrument", ("starlette",), innermost=True)
AROUND = Setup("around")
INSIDE = Setup("inside", ("asgi",), innermost=True)
OWN = Setup("starlette_own", ("starlette",), ends_early=False, transparent=False)
NATIVE = Setup("native", ("fastapi",), transparent=False)
FASTAPI_LAST = Setup("fastapi_app_last", ("fastapi",), transparent=False)
FASTAPI_FIRST = Setup("fastapi_app_first", ("fastapi",), transparent=False)
FASTAPI_CLASS = Setup("fastapi_instrument", ("fastapi",), transparent=False)

SETUPS = [BARE, LAST, FIRST, CLASS, AROUND, INSIDE, FASTAPI_LAST, FASTAPI_FIRST, FASTAPI_CLASS]
if StarletteOwn is not None:
    SETUPS.append(OWN)
if HAS_NATIVE:
    SETUPS.append(NATIVE)

Entry = tuple[Any, dict[str, Any]]


@dataclass
class Kit:
    """Builds apps for one run.

    Attributes:
        setup: the instrumentation; None leaves the app without any.
        entry: the everylayer middleware; None leaves it out.
        position: where among the app's own layers the entry stands.
    """

    setup: Setup | None = None
    entry: Any = None
    position: str = "first"
    settings: dict[str, Any] = field(default_factory=dict)

    def starlette(self, layers: Sequence[Any] = (), **kwargs: Any) -> Any:
        """Return a Starlette app; `layers` outermost first, each a class or (class, arguments)."""
        app = starlette.applications.Starlette(**kwargs)
        if self.setup is FIRST:
            StarletteInstrumentor.instrument_app(app)
        self._add(app, layers)
        if self.setup is LAST:
            StarletteInstrumentor.instrument_app(app)
        elif self.setup is OWN:
            app.add_middleware(StarletteOwn)
        return self._around(app)

    def fastapi(self, layers: Sequence[Any] = (), build: Any = None, **kwargs: Any) -> Any:
        """Return a FastAPI app; `build(app)` adds its routes."""
        app = fastapi.FastAPI(**self.telemetry(), **kwargs)
        if build is not None:
            build(app)
        if self.setup is FASTAPI_FIRST:
            FastAPIInstrumentor.instrument_app(app)
        self._add(app, layers)
        if self.setup is FASTAPI_LAST:
            FastAPIInstrumentor.instrument_app(app)
        return self._around(app)

    def telemetry(self) -> dict[str, Any]:
        """Return the arguments that leave FastAPI's own telemetry to the setup that is about it."""
        if not HAS_NATIVE or self.setup is NATIVE:
            return {}
        return {"telemetry": {"tracing": False, "metrics": False, "logs": False}}

    def asgi(self, layers: Sequence[Any], app: Any) -> Any:
        """Return `app` within `layers`, all of them plain ASGI; the entry goes around them all."""
        if self.setup is INSIDE:
            app = OpenTelemetryMiddleware(app)
        for make, kwargs in reversed([_entry(layer) for layer in layers]):
            app = make(app, **kwargs)
        if self.entry is not None:
            app = self.entry(app, **self.settings)
        return self._around(app)

    def _add(self, app: Any, layers: Sequence[Any]) -> None:
        entries = [_entry(layer) for layer in layers]
        if self.entry is not None:
            place = {"first": 0, "middle": (len(entries) + 1) // 2, "last": len(entries)}
            entries.insert(place[self.position], (self.entry, self.settings))
        for make, kwargs in reversed(entries):
            app.add_middleware(make, **kwargs)

    def _around(self, app: Any) -> Any:
        return OpenTelemetryMiddleware(app) if self.setup is AROUND else app

    @contextmanager
    def active(self) -> Iterator[Kit]:
        """Switch process-wide instrumentation on, and leave no trace of any."""
        background = BackgroundTask.__call__
        if self.setup is CLASS:
            StarletteInstrumentor().instrument()
        elif self.setup is FASTAPI_CLASS:
            FastAPIInstrumentor().instrument()
        try:
            yield self
        finally:
            # Stock builds each app's chain once more when it lets go: a broken layer breaks that.
            _InstrumentedStarlette._instrumented_starlette_apps.clear()
            _InstrumentedFastAPI._instrumented_fastapi_apps.clear()
            if self.setup is CLASS:
                StarletteInstrumentor().uninstrument()
            elif self.setup is FASTAPI_CLASS:
                FastAPIInstrumentor().uninstrument()
            BackgroundTask.__call__ = background  # type: ignore[method-assign]
            if hasattr(BackgroundTask, "_otel_original_call"):
                del BackgroundTask._otel_original_call


def _entry(layer: Any) -> Entry:
    return layer if isinstance(layer, tuple) else (layer, {})
