"""The functions that an app has registered with Flask, in the order in which Flask calls them."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from blinker import Signal
from flask import Flask, signals

from everylayer.audit.model import Phase
from everylayer.audit.parts import INSTRUMENTATION, Part, Points, attempted, gathered
from everylayer.faults.code import CodePoint
from everylayer.layers import name_of

from .functions import functions_of, is_instrumentation, mode, of_the_app, span_name, where
from .points import around_call

_DISPATCH = "handle_user_exception"
_FINALIZE = "handle_exception"
_OUTER = "probe around wsgi_app"


class Registry(NamedTuple):
    """Where Flask keeps functions, by the blueprint that they are for; None is all of the app.

    Attributes:
        seam: where everylayer sees what fails in them.
        last_first: Flask calls them in the opposite order.
    """

    name: str
    kind: str
    seam: str
    last_first: bool = False
    teardown: bool = False


PREPROCESSORS = Registry("url_value_preprocessors", "hook", _DISPATCH)
BEFORE = Registry("before_request_funcs", "hook", _DISPATCH)
AFTER = Registry("after_request_funcs", "hook", _FINALIZE, last_first=True)
TEARDOWN = Registry(
    "teardown_request_funcs", "hook", "do_teardown_request", last_first=True, teardown=True
)
TEMPLATE = Registry("template_context_processors", "hook", _DISPATCH)
URL_DEFAULTS = Registry("url_default_functions", "hook", _DISPATCH)

_SIGNALS: dict[str, tuple[Signal, str, bool]] = {
    "appcontext_pushed": (signals.appcontext_pushed, _FINALIZE, False),
    "request_started": (signals.request_started, _DISPATCH, False),
    "request_finished": (signals.request_finished, _FINALIZE, False),
    "got_request_exception": (signals.got_request_exception, _OUTER, False),
    "request_tearing_down": (signals.request_tearing_down, "do_teardown_request", True),
    "appcontext_tearing_down": (signals.appcontext_tearing_down, _OUTER, True),
    "appcontext_popped": (signals.appcontext_popped, _OUTER, True),
}


def hooks(app: Flask, registry: Registry, blueprint: str | None = None) -> list[Part]:
    """Return the functions in `registry` for `blueprint`."""

    def read() -> Iterator[Part]:
        functions = getattr(app, registry.name).get(blueprint, ())
        for function in reversed(functions) if registry.last_first else functions:
            yield from part_of(function, registry)

    return gathered(read, registry.name, registry.kind)


def appcontext_teardowns(app: Flask) -> list[Part]:
    """Return what is called when the app's context goes."""
    about = Registry("teardown_appcontext_funcs", "hook", _OUTER, teardown=True)

    def read() -> Iterator[Part]:
        for function in reversed(app.teardown_appcontext_funcs):
            yield from part_of(function, about)

    return gathered(read, about.name, about.kind)


def handlers(app: Flask, blueprint: str | None = None) -> list[Part]:
    """Return the error handlers, each once."""
    about = Registry("error_handler_spec", "handler", _FINALIZE)

    def read() -> Iterator[Part]:
        by_code = app.error_handler_spec.get(blueprint, {})
        found = {id(f): f for by_class in by_code.values() for f in by_class.values()}
        for function in found.values():
            yield from part_of(function, about)

    return gathered(read, about.name, about.kind)


def receivers(app: Flask, *names: str) -> list[Part]:
    """Return the receivers of the signals of these names."""

    def read(name: str) -> Iterable[Part]:
        signal, seam, teardown = _SIGNALS[name]
        about = Registry(name, "hook", f"{seam}, from the signal {name}", teardown=teardown)
        found = [
            part
            for function in signal.receivers_for(app)
            for part in part_of(function, about, registered=False)
        ]
        # Blinker keeps them by their addresses.
        return sorted(found, key=lambda part: (part.name, part.where))

    reads = ((name, functools.partial(read, name)) for name in names)
    return [part for name, reading in reads for part in gathered(reading, name, "hook")]


def sessions(app: Flask, method: str) -> list[Part]:
    """Return what opens or saves the session, unless it is Flask's own."""
    about = Registry(method, "hook", _FINALIZE)

    def read() -> Iterator[Part]:
        yield from part_of(getattr(app.session_interface, method), about, registered=False)

    return gathered(read, f"{type(app.session_interface).__qualname__}.{method}", "hook")


def part_of(function: Any, about: Registry, *, registered: bool = True) -> Iterator[Part]:
    """Yield the part of one function, unless it is Flask's own."""

    def make() -> Part | None:
        if is_instrumentation(function):
            return Part(name_of(function), INSTRUMENTATION)
        functions = functions_of(function)
        if functions and not of_the_app(functions):
            return None
        return Part(
            span_name(function, functions, registered=registered),
            about.kind,
            where=where(of_the_app(functions)),
            mode=mode(functions),
            seam=about.seam,
            points=_points(functions, teardown=about.teardown),
        )

    part = attempted(make, function, about.kind, about.seam)
    if part is not None:
        yield part


def _points(functions: list[Any], *, teardown: bool) -> Points:
    function = of_the_app(functions)[-1]
    if not teardown:
        return around_call(function)
    phase: Phase = "teardown"
    return {phase: CodePoint((function.__code__,), "start")}
