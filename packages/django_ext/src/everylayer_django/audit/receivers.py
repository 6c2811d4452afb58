"""The app's own receivers of Django's signals of a request, and its error handlers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.core import signals
from django.dispatch import Signal
from django.urls import get_callable

from .functions import called_name, of_the_app, where
from .parts import Part, gathered
from .points import called

STARTED, GOT, FINISHED = "request_started", "got_request_exception", "request_finished"
_SIGNALS: dict[str, tuple[Signal, str]] = {
    STARTED: (signals.request_started, "handler.__call__"),
    GOT: (signals.got_request_exception, "response_for_exception"),
    FINISHED: (signals.request_finished, "HttpResponse.close"),
}
_CODES = (400, 403, 404, 500)
# Those of Django and of what it is driven by are there in every project.
_OTHERS = ("django.", "asgiref.", "opentelemetry.", "everylayer")


def receivers(handler: Any, name: str) -> list[Part]:
    """Return who is told of the signal `name`."""
    signal, seam = _SIGNALS[name]
    sender = None if name == GOT else type(handler)

    def read() -> Iterator[Part]:
        live: Any = signal._live_receivers(sender)
        # Since 5.0 those that are async are apart.
        found = itertools.chain(*live) if isinstance(live, tuple) else live
        for receiver in found:
            own = of_the_app(receiver)
            if own and not str(own[-1].__module__).startswith(_OTHERS):
                yield _receiver(receiver, name, seam)

    return gathered(read, name, "hook")


def _receiver(receiver: Any, name: str, seam: str) -> Part:
    part = _called(receiver, "hook", f"{seam}, from the signal {name}")
    if name == FINISHED:
        part.points = {"teardown": part.points["before"]}
    return part


def handlers(resolver: Any) -> list[Part]:
    """Return the project's own error handlers, each once."""

    def read() -> Iterator[Part]:
        module = resolver.urlconf_module
        given = {code: getattr(module, f"handler{code}", None) for code in _CODES}
        for code, handler in given.items():
            # Older projects import Django's own into their URLs.
            found = get_callable(handler) if handler else None
            if found is not None and not str(found.__module__).startswith("django."):
                yield _called(found, "handler", f"handler{code}, in response_for_exception")

    return gathered(read, "handlers", "handler")


def _called(target: Any, kind: str, seam: str) -> Part:
    return Part(
        called_name(target),
        kind,
        where=where(target),
        mode="async" if iscoroutinefunction(target) else "sync",
        seam=seam,
        points=called(target),
    )
