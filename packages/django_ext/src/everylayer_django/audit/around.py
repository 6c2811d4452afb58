"""What runs beside the chain: error handlers, and receivers of the request's signals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core import signals
from django.dispatch import Signal
from django.urls import get_resolver

from everylayer.audit.parts import Part, Points, attempted

from ..locate import PLUMBING
from .functions import around, functions_of, mode, of_the_app, owner_of, span_name, where

_CODES = (400, 403, 404, 500)
_OF_DJANGO = ("django.", *PLUMBING)


def handlers() -> Iterator[Part]:
    """Yield the app's own error handlers."""
    resolver = get_resolver()
    for code in _CODES:
        handler = resolver.resolve_error_handler(code)
        seam = "response_for_exception" if code == 500 else "handle_uncaught_exception"
        if _is_own(handler):
            about = f"{seam}, from handler{code}"
            yield _part(handler, "handler", about)


def receivers(name: str, handler: Any) -> Iterator[Part]:
    """Yield the app's own receivers of the signal of this name, in the order of their calls."""
    sender, seam = {
        "request_started": (type(handler), f"{type(handler).__qualname__}.__call__"),
        "request_finished": (type(handler), "HttpResponseBase.close"),
        "got_request_exception": (None, "response_for_exception"),
    }[name]
    signal: Signal = getattr(signals, name)
    found: Any = signal._live_receivers(sender)
    # From Django 5 on those that are asynchronous come apart.
    every = [*found[0], *found[1]] if isinstance(found, tuple) else found
    for receiver in every:
        if _is_own(receiver):
            yield _part(receiver, "hook", f"{seam}, from {name}", late=name == "request_finished")


def _is_own(target: Any) -> bool:
    functions = functions_of(target)
    module = (functions[-1] if functions else target).__module__
    return not str(module).startswith(_OF_DJANGO)


def _part(target: Any, kind: str, seam: str, *, late: bool = False) -> Part:
    def make() -> Part:
        functions = functions_of(target, closures=kind == "handler")
        own = of_the_app(functions)
        points: Points = around(own[-1], owner_of(target))
        if late:
            points = {"teardown": points["before"]}
        return Part(span_name(target, own), kind, where(own[-1]), mode(functions), seam, points)

    return attempted(make, target, kind, seam)
