"""Layers of every make below one that hides what they raise: each error is seen all the same."""

from __future__ import annotations

import abc
import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator
from contextvars import Context
from typing import Any

import flask
import pytest
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware
from opentelemetry.trace import StatusCode

from contract import drive
from contract.expect import ESCAPED, HANDLED, check
from contract.faults import PLAIN, fault_site
from contract.telemetry import Telemetry, error_events, server_span
from everylayer_flask import EveryLayer, EveryLayerMiddleware, patches
from flask_harness import HEADERS
from flask_layers import TEXT, RaisesBefore, RecoversLater, Through, closure_layer

Make = Callable[[Any], Any]


def answer(start_response: Any) -> list[bytes]:
    start_response("200 OK", TEXT)
    return [b"recovered"]


class Bound:
    """Its method is the layer."""

    def __init__(self, app: Any) -> None:
        self.inner = app

    def handle(self, environ: Any, start_response: Any) -> Any:
        return self.inner(environ, start_response)


class SlottedOnce:
    __slots__ = "only"  # noqa: PLC0205

    def __init__(self, app: Any) -> None:
        self.only = app

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return self.only(environ, start_response)


class Registered:
    """Keeps a list of its subclasses, so it must not get any."""

    known: list[str] = []  # noqa: RUF012

    def __init_subclass__(cls) -> None:
        Registered.known.append(cls.__name__)

    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return self.app(environ, start_response)


class Abstract(abc.ABC):
    def __init__(self, app: Any) -> None:
        self.app = app

    @abc.abstractmethod
    def name(self) -> str: ...

    def __call__(self, environ: Any, start_response: Any) -> Any:
        environ["name"] = self.name()
        return self.app(environ, start_response)


class Concrete(Abstract):
    def name(self) -> str:
        return "concrete"


class Meta(type):
    def __call__(cls, *args: Any) -> Any:
        return super().__call__(*args)


class OfMeta(Through, metaclass=Meta):
    pass


def empty_cell(app: Any) -> Any:
    if not app:
        later = None

    def layer(environ: Any, start_response: Any) -> Any:
        if environ is None:
            return later
        return app(environ, start_response)

    return layer


def partial_layer(app: Any) -> Any:
    def layer(inner: Any, environ: Any, start_response: Any) -> Any:
        return inner(environ, start_response)

    return functools.partial(layer, app)


MAKES: dict[str, Make] = {
    "object": Through,
    "function": lambda app: closure_layer(app, PLAIN),
    "method": lambda app: Bound(app).handle,
    "partial": partial_layer,
    "slot": SlottedOnce,
    "registered": Registered,
    "abstract": Concrete,
    "metaclass": OfMeta,
    "empty_cell": empty_cell,
}


class HidesInMethod(Through):
    """Hides errors elsewhere than in `__call__`."""

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return self.guarded(environ, start_response)

    def guarded(self, environ: Any, start_response: Any) -> Any:
        failed = False
        try:
            return self.app(environ, start_response)
        except Exception:
            failed = True
        assert failed
        return answer(start_response)


def guarded(app: Any, environ: Any, start_response: Any) -> Any:
    failed = False
    try:
        return app(environ, start_response)
    except Exception:
        failed = True
    assert failed
    return answer(start_response)


class HidesInHelper(Through):
    """Hands its app to a function that hides errors."""

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return guarded(self.app, environ, start_response)


class HidesInWith(Through):
    def __call__(self, environ: Any, start_response: Any) -> Any:
        with contextlib.suppress(Exception):
            return self.app(environ, start_response)
        return answer(start_response)


class HidesInDecorator(Through):
    @staticmethod
    def hiding(call: Any) -> Any:
        @functools.wraps(call)
        def wrapped(self: Any, environ: Any, start_response: Any) -> Any:
            return guarded(functools.partial(call, self), environ, start_response)

        return wrapped

    @hiding
    def __call__(self, environ: Any, start_response: Any) -> Any:
        return self.app(environ, start_response)


class HidesInGenerator(Through):
    def __call__(self, environ: Any, start_response: Any) -> Iterator[bytes]:
        try:
            body = list(self.app(environ, start_response))
        except Exception:
            body = None
        yield from answer(start_response) if body is None else body


def hides_in_function(app: Any) -> Any:
    def layer(environ: Any, start_response: Any) -> Iterable[bytes]:
        return guarded(app, environ, start_response)  # type: ignore[no-any-return]

    return layer


HIDERS: dict[str, Make] = {
    "later": lambda app: RecoversLater(app, "200 OK"),
    "method": HidesInMethod,
    "helper": HidesInHelper,
    "with": HidesInWith,
    "decorator": HidesInDecorator,
    "generator": HidesInGenerator,
    "function": hides_in_function,
}


def shop() -> flask.Flask:
    app = flask.Flask("shop")
    app.add_url_rule("/", "home", lambda: "home")
    return app


@pytest.mark.parametrize("first", [True, False], ids=["ours_first", "ours_last"])
@pytest.mark.parametrize("hider", HIDERS.values(), ids=HIDERS)
@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)
def test_an_error_hidden_at_once(
    make: Make, hider: Make, first: bool, telemetry: Telemetry
) -> None:
    app = shop()
    if first:
        EveryLayer(app)
    app.wsgi_app = hider(make(RaisesBefore(app.wsgi_app, PLAIN)))
    app.wsgi_app = make(app.wsgi_app) if make is not MAKES["function"] else app.wsgi_app
    if not first:
        EveryLayer(app)
    run = drive.run_wsgi(app, drive.environ())
    assert (run.status, run.body) == (200, b"recovered")
    check(telemetry.spans, PLAIN, HANDLED)


@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)
def test_layers_put_on_one_after_the_other(make: Make, telemetry: Telemetry) -> None:
    app = shop()
    app.wsgi_app = RaisesBefore(app.wsgi_app, PLAIN)
    for _ in range(2):
        EveryLayer(app)
        app.wsgi_app = make(app.wsgi_app)
    app.wsgi_app = RecoversLater(app.wsgi_app, "200 OK")
    assert drive.run_wsgi(app, drive.environ()).status == 200
    check(telemetry.spans, PLAIN, HANDLED)
    patches.release(app)
    telemetry.clear()
    assert drive.run_wsgi(app, drive.environ()).status == 200
    assert telemetry.spans == ()


def test_a_layer_on_two_apps(telemetry: Telemetry) -> None:
    one, two = shop(), shop()
    shared = RaisesBefore(one.wsgi_app, PLAIN)
    for app in (one, two):
        app.wsgi_app = RecoversLater(shared, "200 OK")
        EveryLayer(app)
    one_of_them = 0
    for app in (one, two):
        telemetry.clear()
        drive.run_wsgi(app, drive.environ())
        one_of_them += len(error_events(telemetry.spans))
    assert one_of_them == 2


def test_subclasses_are_nobodys_business() -> None:
    app = shop()
    app.wsgi_app = RecoversLater(Registered(app.wsgi_app), "200 OK")
    EveryLayer(app)
    assert Registered.known == []
    assert drive.run_wsgi(app, drive.environ()).body == b"home"


def test_layers_are_numbered_from_outside(telemetry: Telemetry) -> None:
    app = shop()
    EveryLayer(app)
    app.wsgi_app = Through(RaisesBefore(app.wsgi_app, PLAIN))
    app.wsgi_app = closure_layer(app.wsgi_app, PLAIN)
    app.wsgi_app = RecoversLater(app.wsgi_app, "503 SERVICE UNAVAILABLE")
    environ = drive.environ("/never")
    drive.run_wsgi(app, environ)
    check(telemetry.spans, PLAIN, ESCAPED)
    (event,) = error_events(telemetry.spans)
    values = event.event.attributes or {}
    assert values["everylayer.layer.name"] == "RaisesBefore"
    assert values["everylayer.layer.index"] == 3


def test_a_walk_that_finds_nothing_changes_nothing(telemetry: Telemetry) -> None:
    app = shop()

    class Elsewhere:
        def __init__(self) -> None:
            self.logger = print
            self.loop = self

        def __call__(self, environ: Any, start_response: Any) -> Any:
            fault_site(PLAIN)

    layer = Elsewhere()
    app.wsgi_app = layer
    EveryLayer(app)
    assert type(layer) is Elsewhere
    drive.run_wsgi(app, drive.environ())
    check(telemetry.spans, PLAIN, ESCAPED)


def test_a_probe_inside_a_layer_that_has_one_is_spared(telemetry: Telemetry) -> None:
    app = shop()
    innermost = RaisesBefore(app.wsgi_app, PLAIN)
    app.wsgi_app = RecoversLater(Through(innermost), "200 OK")
    EveryLayer(app)
    assert type(innermost) is RaisesBefore
    drive.run_wsgi(app, drive.environ())
    check(telemetry.spans, PLAIN, HANDLED)


@pytest.mark.parametrize("headers", [(), HEADERS], ids=["own trace", "a trace of the caller's"])
def test_stock_s_span_is_exported_where_the_body_fails_to_close(
    telemetry: Telemetry, headers: tuple[tuple[str, str], ...]
) -> None:
    """Stock itself does not end it then."""
    app = flask.Flask("shop")
    failure = ValueError("at the close")

    @app.get("/closing")
    def closing() -> flask.Response:
        def fail() -> None:
            raise failure

        response = flask.Response("closing")
        response.call_on_close(fail)
        return response

    served = EveryLayerMiddleware(OpenTelemetryMiddleware(app))
    request = drive.environ("/closing", headers=headers)
    assert Context().run(_send, served, request) is failure
    server = server_span(telemetry.spans)
    assert server.instrumentation_scope is not None
    assert server.instrumentation_scope.name == "opentelemetry.instrumentation.wsgi"
    assert server.status.status_code is StatusCode.ERROR
    assert len(error_events(telemetry.spans)) == len(error_events([server])) == 1


def _send(app: Any, request: dict[str, Any]) -> BaseException:
    body = app(request, lambda *args: None)
    with pytest.raises(ValueError, match="at the close") as found:
        list(body)
    body.close()
    return found.value
