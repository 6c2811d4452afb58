"""Runs a case the way a server does, with or without instrumentation."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from django.core import signals
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.test.utils import override_settings
from opentelemetry.instrumentation.django import DjangoInstrumentor

from contract import drive
from contract.responses import Raised, Run
from everylayer.boundaries import aftermath

from . import plan
from .cases import ASGI, Case

ENTRY = "everylayer_django.EveryLayerMiddleware"


def chain(case: Case, position: str | None) -> list[str]:
    """Return MIDDLEWARE for `case`, with everylayer's entry at `first`, `middle` or `last`."""
    entries = [name if "." in name else f"djangoapp.layers.{name}" for name in case.layers]
    at = {"first": 0, "middle": (len(entries) + 1) // 2, "last": len(entries)}
    if position is not None:
        entries.insert(at[position], ENTRY)
    return entries


@contextlib.contextmanager
def stock_instrumentation() -> Iterator[None]:
    """Switch the stock instrumentation on for the settings in force."""
    instrumentor = DjangoInstrumentor()
    instrumentor.instrument(skip_dep_check=True)
    try:
        yield
    finally:
        instrumentor.uninstrument()


@contextlib.contextmanager
def receivers(names: Sequence[str]) -> Iterator[None]:
    """Connect a failing receiver to each of these signals."""
    made = [(getattr(signals, name), plan.RECEIVERS[name]) for name in names]
    for signal, receiver in made:
        signal.connect(receiver)
    try:
        yield
    finally:
        for signal, receiver in made:
            signal.disconnect(receiver)


def run(
    case: Case, server: str, *, stock: bool = False, position: str | None = None, **extra: Any
) -> Run:
    """Serve the request of `case` by a handler made for it."""
    with contextlib.ExitStack() as stack:
        changed = {"MIDDLEWARE": chain(case, position), **case.settings, **extra}
        stack.enter_context(override_settings(**changed))
        if stock:
            stack.enter_context(stock_instrumentation())
        handler = ASGIHandler() if server == ASGI else WSGIHandler()
        stack.enter_context(receivers(case.receivers))
        stack.enter_context(plan.failing(case.fails))
        # Django warns of a body of the other kind: served all the same.
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        return serve(handler, case, server)


def serve(handler: Any, case: Case, server: str) -> Run:
    """Serve the request of `case` by `handler`, or by what stands around it."""
    found = _serve(handler, case, server)
    # What a close has brought to light is told a moment later.
    assert aftermath.settle()
    return found


def _serve(handler: Any, case: Case, server: str) -> Run:
    if server == ASGI:
        scope = drive.scope(case.path, case.headers)
        if any(name == "host" for name, _ in case.headers):
            scope["headers"] = [h for h in scope["headers"] if h != (b"host", b"127.0.0.1")]
        try:
            return drive.run_asgi(handler, scope)
        except (SystemExit, KeyboardInterrupt) as error:
            # Before Django 6 a task of its own raises them, straight out of the event loop.
            return Run(None, (), b"", Raised.of(error))
    return drive.run_wsgi(handler, drive.environ(case.path, case.headers))
