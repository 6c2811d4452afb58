"""OpenTelemetry's own instrumentation of an app: switched on once, and never twice."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any

from ..seams import starts_span

_FLAG = "_is_instrumented_by_opentelemetry"
_STARLETTE = "opentelemetry.instrumentation.starlette"
_FASTAPI = "opentelemetry.instrumentation.fastapi"
_INSTRUMENTORS = {
    "starlette": (_STARLETTE, "StarletteInstrumentor"),
    "fastapi": (_FASTAPI, "FastAPIInstrumentor"),
}


def switch_on() -> None:
    """Instrument the classes of both frameworks, as `opentelemetry-instrument` does."""
    for framework in _INSTRUMENTORS:
        instrumentor = _instrumentor(framework)
        if instrumentor is not None:
            instrumentor().instrument()


def complete(app: Any, outside: Iterable[Any]) -> str:
    """Instrument `app` if it is not; take back what is one too many.

    Args:
        app: a Starlette app.
        outside: the layers around it.

    Returns:
        "" if it is instrumented, else why it is not.
    """
    framework = "fastapi" if _is_fastapi(app) else "starlette"
    instrumentor = _instrumentor(framework)
    around = any(starts_span(type(layer)) for layer in outside)
    if around or any(_is_own(entry) for entry in app.user_middleware):
        _take_back(app, instrumentor)
        return ""
    if getattr(app, _FLAG, False):
        return ""
    if instrumentor is None:
        native = getattr(app, "_native_telemetry", None)
        if native is not None and native.enabled():
            return ""
        return f"opentelemetry-instrumentation-{framework} is not installed"
    conflict = instrumentor()._check_dependency_conflicts()
    if conflict is not None:
        return str(conflict)
    instrumentor.instrument_app(app)
    return ""


def surround(app: Any, layers: Iterable[Any]) -> Any:
    """Put the middleware for any ASGI app around `app`, unless one of its layers is it."""
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

    if any(starts_span(type(layer)) for layer in layers):
        return app
    return OpenTelemetryMiddleware(app)


def _take_back(app: Any, instrumentor: Any) -> None:
    """Undo what the instrumented class did to an app that has a span layer of its own."""
    if not getattr(app, _FLAG, False):
        return
    if hasattr(app, "_original_build_middleware_stack"):
        instrumentor.uninstrument_app(app)
        app.middleware_stack = None
    app.user_middleware = [e for e in app.user_middleware if _is_own(e) or not starts_span(e.cls)]


def _is_own(entry: Any) -> bool:
    """Tell whether `entry` starts spans and is not the one that the instrumentor has added."""
    details = getattr(entry, "kwargs", {}).get("default_span_details")
    return starts_span(entry.cls) and getattr(details, "__module__", "") != _STARLETTE


def _is_fastapi(app: Any) -> bool:
    return any(cls.__module__.partition(".")[0] == "fastapi" for cls in type(app).__mro__)


def _instrumentor(framework: str) -> Any:
    module, name = _INSTRUMENTORS[framework]
    try:
        return getattr(importlib.import_module(module), name)
    except ImportError:
        return None  # The instrumentation is not installed, or what it instruments is not.
