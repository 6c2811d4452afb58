"""Set up a suite's own process: tracing in both arms, everylayer in one, and counts at the end.

`UPSTREAM_SWITCH` names what to switch on, by commas; `UPSTREAM_COUNTS` the file to write.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import threading
from collections.abc import Callable
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.trace import SpanKind

_lock = threading.Lock()
_counts = {"ledgers": 0, "own_spans": 0, "error_spans": 0, "events": 0}


def _count(**more: int) -> None:
    with _lock:
        for name, number in more.items():
            _counts[name] += number


class _Counter(SpanProcessor):
    """Counts what everylayer wrote, whichever provider of the suite the span is from."""

    def on_end(self, span: ReadableSpan) -> None:
        written = sum("everylayer.layer.name" in (e.attributes or {}) for e in span.events)
        scope = span.instrumentation_scope
        own = scope is not None and scope.name == "everylayer" and span.kind is SpanKind.SERVER
        _count(own_spans=own, error_spans=bool(written), events=written)


def _after(owner: type, then: Callable[[Any], None]) -> None:
    """Call `then` with each new instance of `owner`."""
    original: Callable[..., None] = vars(owner)["__init__"]

    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        then(self)

    owner.__init__ = __init__  # type: ignore[misc]


def _argument_wrapped(owner: type, wrap: Callable[[Any], Any]) -> None:
    """Wrap the app that each new instance of `owner` is given as its first argument."""
    original: Callable[..., None] = vars(owner)["__init__"]

    @functools.wraps(original)
    def __init__(self: Any, app: Any, *args: Any, **kwargs: Any) -> None:
        original(self, wrap(app), *args, **kwargs)

    owner.__init__ = __init__  # type: ignore[misc]


def _starlette() -> None:
    from everylayer_starlette.instrumentor import EveryLayerStarletteInstrumentor

    EveryLayerStarletteInstrumentor().instrument()


def _flask() -> None:
    from everylayer_flask.instrumentor import EveryLayerFlaskInstrumentor

    EveryLayerFlaskInstrumentor().instrument()


def _django() -> None:
    from everylayer_django import EveryLayerDjangoInstrumentor

    EveryLayerDjangoInstrumentor().instrument()


def _asgi_within_stock() -> None:
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

    from everylayer_starlette import EveryLayerMiddleware

    _argument_wrapped(OpenTelemetryMiddleware, EveryLayerMiddleware)


def _wsgi_within_stock() -> None:
    from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware

    from everylayer_flask import EveryLayerMiddleware

    _argument_wrapped(OpenTelemetryMiddleware, EveryLayerMiddleware)


def _werkzeug() -> None:
    from werkzeug.test import Client

    from everylayer_flask import EveryLayerMiddleware

    _argument_wrapped(Client, EveryLayerMiddleware)


SWITCHES: dict[str, Callable[[], None]] = {
    "asgi": _asgi_within_stock,
    "django": _django,
    "flask": _flask,
    "starlette": _starlette,
    "werkzeug": _werkzeug,
    "wsgi": _wsgi_within_stock,
}


def start() -> None:
    """Set the arm up, once a process."""
    _after(TracerProvider, lambda provider: provider.add_span_processor(_Counter()))
    trace.set_tracer_provider(TracerProvider())
    chosen = [name for name in os.environ["UPSTREAM_SWITCH"].split(",") if name]
    if chosen:
        from everylayer.asgi import Exchange
        from everylayer.ledger import Ledger

        for kind in (Ledger, Exchange):
            _after(kind, lambda _: _count(ledgers=1))
    for name in chosen:
        SWITCHES[name]()
    atexit.register(_write, os.getpid(), bool(chosen))


def _write(pid: int, switched_on: bool) -> None:
    if pid != os.getpid():
        return  # A child that the suite has forked.
    failures: dict[str, int] = {}
    if switched_on:
        from everylayer import own_failures

        failures = dict(own_failures())
    with open(os.environ["UPSTREAM_COUNTS"], "w", encoding="utf-8") as file:
        json.dump({**_counts, "own_failures": failures}, file)
