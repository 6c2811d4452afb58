"""Putting the seams on and taking them off: what stays of them, and what a user can get wrong."""

from __future__ import annotations

import copy
import functools
import gc
import logging
import weakref
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest import mock

import flask
import pytest
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from contract import drive
from contract.expect import ESCAPED, LATE, check
from contract.faults import PLAIN, fault_site
from contract.telemetry import Telemetry, error_events, server_span
from everylayer import SettingsError, configure, settings
from everylayer_flask import EveryLayer, EveryLayerMiddleware, patches
from flask_layers import (
    DropsBody,
    RaisesAfter,
    RaisesBefore,
    RecoversLater,
    SlottedThrough,
    Through,
    closure_layer,
)


class Calling(flask.Flask):
    """Has a way in of its own: everylayer's does not stand in its place."""

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return super().__call__(environ, start_response)


@pytest.fixture
def app() -> flask.Flask:
    made = flask.Flask("shop")
    made.add_url_rule("/", "home", lambda: fault_site(PLAIN))
    made.add_url_rule("/ok", "ok", lambda: "ok")
    return made


@pytest.fixture(autouse=True)
def _forget_settings() -> Iterator[None]:
    yield
    settings.reset()


def serve(app: Any, path: str = "/") -> Any:
    return drive.run_wsgi(app, drive.environ(path))


def test_init_app(app: flask.Flask, telemetry: Telemetry) -> None:
    extension = EveryLayer()
    extension.init_app(app)
    assert app.extensions["everylayer"] is extension
    assert serve(app).status == 500
    check(telemetry.spans, PLAIN, ESCAPED)


def test_one_extension_for_two_apps(telemetry: Telemetry) -> None:
    extension = EveryLayer()
    for name in ("one", "two"):
        app = flask.Flask(name)
        extension.init_app(app)
        app.before_request(lambda: fault_site(PLAIN))
        telemetry.clear()
        serve(app)
        check(telemetry.spans, PLAIN, ESCAPED)


def test_the_app_stays_what_it_was(app: flask.Flask) -> None:
    cls = type(app)
    EveryLayer(app)
    EveryLayer(app)
    assert isinstance(app, cls)
    assert type(app).__name__ == "Flask"
    assert type(app).__qualname__ == cls.__qualname__
    assert type(app).__module__ == cls.__module__
    assert type(app).__mro__[1] is cls
    assert app.handle_exception.func is not None  # type: ignore[attr-defined]
    assert type(app).handle_exception is cls.handle_exception
    assert copy.copy(app).name == "shop"


def test_a_subclass_keeps_its_ways(telemetry: Telemetry) -> None:
    seen = []

    class Shop(flask.Flask):
        def __call__(self, environ: Any, start_response: Any) -> Any:
            seen.append("call")
            return super().__call__(environ, start_response)

        def wsgi_app(self, environ: Any, start_response: Any) -> Any:
            seen.append("wsgi_app")
            return super().wsgi_app(environ, start_response)

        def handle_user_exception(self, e: Exception) -> Any:
            seen.append("handle_user_exception")
            return super().handle_user_exception(e)

    app = Shop("shop")
    app.before_request(lambda: fault_site(PLAIN))
    EveryLayer(app)
    assert type(app).__name__ == "Shop"
    serve(app)
    assert seen == ["call", "wsgi_app", "handle_user_exception"]
    check(telemetry.spans, PLAIN, ESCAPED)


def test_an_app_goes_when_its_last_user_lets_go() -> None:
    made = flask.Flask("short lived")
    EveryLayer(made)
    gone = weakref.ref(made)
    gc.disable()
    try:
        del made
        assert gone() is None
    finally:
        gc.enable()


def test_a_layer_keeps_its_app(telemetry: Telemetry) -> None:
    def create() -> Any:
        made = flask.Flask("factory")
        EveryLayer(made)
        made.before_request(lambda: fault_site(PLAIN))
        return Through(made.wsgi_app)

    serve(create())
    check(telemetry.spans, PLAIN, ESCAPED)


def test_layers_stay_the_objects_that_they_are(app: flask.Flask) -> None:
    inner = SlottedThrough(app.wsgi_app)
    middle = Through(inner)
    app.wsgi_app = middle
    EveryLayer(app)
    outer = Through(app.wsgi_app)
    app.wsgi_app = outer
    assert app.wsgi_app is outer
    assert outer.app is middle
    assert middle.app is inner
    assert isinstance(inner, SlottedThrough)
    assert type(inner).__name__ == "SlottedThrough"
    assert serve(app, "/ok").body == b"ok"


def test_a_layer_that_looks_like_ours_stays(app: flask.Flask, telemetry: Telemetry) -> None:
    EveryLayer(app)
    for _ in range(2):
        inner = app.wsgi_app
        passed = []

        @functools.wraps(inner)
        def layer(
            environ: Any, start_response: Any, inner: Any = inner, passed: Any = passed
        ) -> Any:
            passed.append(environ["PATH_INFO"])
            return inner(environ, start_response)

        app.wsgi_app = layer  # type: ignore[method-assign]
        assert app.wsgi_app is layer
        assert serve(app, "/ok").body == b"ok"
        assert passed == ["/ok"]


def test_a_function_around_an_app_of_its_own_kind_is_put_back(
    app: flask.Flask, telemetry: Telemetry
) -> None:
    class Shop(flask.Flask):
        def __call__(self, environ: Any, start_response: Any) -> Any:
            return super().__call__(environ, start_response)

    made = Shop("shop")
    made.add_url_rule("/", "home", lambda: fault_site(PLAIN))
    function = closure_layer(made.wsgi_app, PLAIN)
    made.wsgi_app = function  # type: ignore[method-assign]
    EveryLayer(made)
    EveryLayer(made, max_events=4)
    serve(made)
    check(telemetry.spans, PLAIN, ESCAPED)
    patches.release(made)
    assert made.wsgi_app is function


def test_nothing_is_left_after_release(app: flask.Flask, telemetry: Telemetry) -> None:
    before = dict(vars(app))
    cls, own = type(app), app.wsgi_app
    EveryLayer(app)
    serve(app)
    patches.release(app)
    patches.release(app)
    assert type(app) is cls
    assert app.wsgi_app == own
    app.extensions.pop("everylayer")
    assert {k: v for k, v in vars(app).items() if k not in ("logger", "_got_first_request")} == {
        k: v for k, v in before.items() if k not in ("logger", "_got_first_request")
    }
    assert app.logger.filters == []
    assert "exception" not in vars(app.logger)
    telemetry.clear()
    assert serve(app).status == 500
    assert telemetry.spans == ()


def test_a_method_held_from_before_release_leaves_no_filter(app: flask.Flask) -> None:
    EveryLayer(app)
    held = app.handle_exception
    patches.release(app)
    with app.test_request_context("/"):
        assert held(ValueError("late")).status_code == 500
    assert app.logger.filters == []
    assert "exception" not in vars(app.logger)


class Terse(logging.Logger):
    def exception(self, msg: object) -> None:  # type: ignore[override]
        self.error(msg, exc_info=True)


@pytest.mark.parametrize("case", ["critical", "disabled", "nobody listens", "own class"])
def test_what_fails_in_an_errors_response_is_seen_whatever_is_logged(
    app: flask.Flask, telemetry: Telemetry, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    def fail(response: flask.Response) -> flask.Response:
        raise ZeroDivisionError("second")

    app.after_request(fail)
    logger = logging.getLogger(app.name)
    level, cls = logger.level, logger.__class__
    EveryLayer(app)
    try:
        logger.disabled = case == "disabled"
        if case == "critical":
            logger.setLevel(logging.CRITICAL)
        elif case == "own class":
            logger.__class__ = Terse
        assert serve(app).status == 500
    finally:
        logger.disabled = False
        logger.setLevel(level)
        logger.__class__ = cls
    recorded = [each.event for each in error_events(telemetry.spans)]
    types = [event.attributes["exception.type"] for event in recorded if event.attributes]
    assert types == ["ValueError", "ZeroDivisionError"]
    told = [record for record in caplog.records if "finalizing failed" in record.msg]
    assert len(told) == (case in ("nobody listens", "own class"))
    if case == "nobody listens":
        assert {(record.funcName, record.filename) for record in told} == {
            ("finalize_request", "app.py")
        }


def test_layers_are_put_back_too(app: flask.Flask, telemetry: Telemetry) -> None:
    own = app.wsgi_app
    inner = Through(own)
    function = closure_layer(inner, PLAIN)
    outer = RecoversLater(function, "200 OK")
    app.wsgi_app = outer
    EveryLayer(app)
    assert outer.app is not function
    patches.release(app)
    assert app.wsgi_app is outer
    assert outer.app is function
    assert inner.app == own
    assert [type(layer) for layer in (outer, inner)] == [RecoversLater, Through]
    assert serve(app).status == 200
    assert telemetry.spans == ()


def test_a_layer_given_the_app_before_release_still_works(app: flask.Flask) -> None:
    EveryLayer(app)
    outer = Through(app.wsgi_app)
    patches.release(app)
    assert serve(outer, "/ok").body == b"ok"


@pytest.mark.parametrize("cls", [flask.Flask, Calling])
def test_a_patch_of_the_outermost_layer_is_put_back(cls: type[flask.Flask]) -> None:
    app = cls("shop")
    app.wsgi_app = layer = Through(app.wsgi_app)  # type: ignore[method-assign]
    EveryLayer(app)
    with mock.patch.object(app, "wsgi_app", Through(layer)):
        assert drive.run_wsgi(app, drive.environ("/")).status == 404
    patches.release(app)
    assert app.wsgi_app is layer


def test_taking_layers_off(app: flask.Flask) -> None:
    EveryLayer(app)
    layer = Through(app.wsgi_app)
    app.wsgi_app = layer
    assert app.wsgi_app is layer
    del app.wsgi_app
    assert app.wsgi_app is not layer
    with pytest.raises(AttributeError):
        del app.wsgi_app
    with pytest.raises(AttributeError):
        del app.handle_exception
    app.handle_exception = lambda error: "mine"  # type: ignore[method-assign]
    del app.handle_exception
    assert serve(app).status == 500


def test_stock_may_come_and_go_in_any_order(app: flask.Flask, telemetry: Telemetry) -> None:
    stock = FlaskInstrumentor()
    EveryLayer(app)
    stock.instrument_app(app)
    serve(app)
    check(telemetry.spans, PLAIN, ESCAPED)
    telemetry.clear()
    app._got_first_request = False
    stock.uninstrument_app(app)
    serve(app)
    check(telemetry.spans, PLAIN, ESCAPED)
    assert server_span(telemetry.spans).instrumentation_scope.name == "everylayer"  # type: ignore[union-attr]
    telemetry.clear()
    app._got_first_request = False
    stock.instrument_app(app)
    patches.release(app)
    stock.uninstrument_app(app)
    serve(app)
    assert telemetry.spans == ()


def test_layers_around_the_app_object(app: flask.Flask, telemetry: Telemetry) -> None:
    for layer, expected in ((RaisesBefore, ESCAPED), (RaisesAfter, LATE), (DropsBody, LATE)):
        telemetry.clear()
        other = flask.Flask("other")
        other.add_url_rule("/", "home", lambda: "fine")
        FlaskInstrumentor().instrument_app(other)
        served = EveryLayerMiddleware(Through(layer(other, PLAIN)))
        assert serve(served).raised is not None
        check(telemetry.spans, PLAIN, expected)


def test_a_view_below_layers_around_the_app_object(app: flask.Flask, telemetry: Telemetry) -> None:
    serve(EveryLayerMiddleware(Through(app)))
    check(telemetry.spans, PLAIN, ESCAPED)
    (event,) = error_events(telemetry.spans)
    assert (event.event.attributes or {})["everylayer.layer.kind"] == "view"


def test_plain_wsgi(telemetry: Telemetry) -> None:
    def plain(environ: Any, start_response: Any) -> Any:
        fault_site(PLAIN)

    serve(EveryLayerMiddleware(Through(plain)))
    check(telemetry.spans, PLAIN, ESCAPED)


def test_the_middleware_around_an_app_that_has_the_extension(
    app: flask.Flask, telemetry: Telemetry
) -> None:
    EveryLayer(app)
    serve(EveryLayerMiddleware(app))
    check(telemetry.spans, PLAIN, ESCAPED)


def test_a_mounted_app_function_beside_stock_names_its_layers(
    app: flask.Flask, telemetry: Telemetry
) -> None:
    FlaskInstrumentor.instrument_app(app)
    EveryLayer(app)
    served = DispatcherMiddleware(flask.Flask("outer"), {"/shop": app.wsgi_app})
    assert serve(served, "/shop/").status == 500
    check(telemetry.spans, PLAIN, replace(ESCAPED, kind="view", phase="view"))


def test_an_app_function_served_without_its_app(app: flask.Flask, telemetry: Telemetry) -> None:
    EveryLayer(app)
    serve(Through(app.wsgi_app))
    check(telemetry.spans, PLAIN, ESCAPED)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("shop", "builtins.str"),
        (42, "builtins.int"),
        (flask.Flask, "create the app first"),
        (lambda environ, start_response: [], "EveryLayerMiddleware"),
        (dict, "class builtins.dict"),
    ],
)
def test_what_is_no_flask_app(given: Any, words: str) -> None:
    with pytest.raises(TypeError, match=r"EveryLayer works on a Flask app") as caught:
        EveryLayer(given)
    assert words in str(caught.value)


def test_init_app_without_an_app() -> None:
    with pytest.raises(TypeError, match="it got None"):
        EveryLayer().init_app(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a callable"):
        EveryLayerMiddleware(None)  # type: ignore[arg-type]


def test_a_bad_setting_is_named_at_start_up(app: flask.Flask) -> None:
    with pytest.raises(SettingsError, match=r"max_evnets.*max_events"):
        EveryLayer(app, max_evnets=3)
    with pytest.raises(SettingsError, match="max_events"):
        EveryLayer(max_events="three")
    app.config["EVERYLAYER_MAX_EVENTS"] = 0
    with pytest.raises(SettingsError, match="max_events"):
        EveryLayer(app)
    assert type(app) is flask.Flask


def test_arguments_over_config_over_configure_over_environment(
    app: flask.Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def in_force() -> Any:
        found = patches.adoption_of(app)
        assert found is not None
        return found.rules.settings

    monkeypatch.setenv("EVERYLAYER_MAX_EVENTS", "2")
    EveryLayer(app)
    assert in_force().max_events == 2
    configure(max_events=3)
    EveryLayer(app)
    assert in_force().max_events == 3
    app.config["EVERYLAYER_MAX_EVENTS"] = 4
    EveryLayer(app)
    assert in_force().max_events == 4
    EveryLayer(app, max_events=5)
    assert in_force().max_events == 5


def test_switched_off(app: flask.Flask, telemetry: Telemetry) -> None:
    EveryLayer(app)
    EveryLayer(app, enabled=False)
    assert type(app) is flask.Flask
    served = EveryLayerMiddleware(app, enabled=False)
    assert serve(served).status == 500
    assert telemetry.spans == ()


def test_a_class_that_does_not_fit_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    class Closed(flask.Flask):
        def __init_subclass__(cls) -> None:
            raise TypeError("no subclasses, please")

    app = Closed("shop")
    with caplog.at_level(logging.WARNING):
        EveryLayer(app)
    assert type(app) is Closed
    (record,) = caplog.records
    assert "'shop'" in record.getMessage()
    assert "no subclasses, please" in record.getMessage()
    assert "EveryLayerMiddleware" in record.getMessage()


def test_ignored_and_expected_errors(app: flask.Flask, telemetry: Telemetry) -> None:
    EveryLayer(app, ignored=["builtins.ValueError", "ValueError"])
    serve(app)
    assert error_events(telemetry.spans) == []


def test_what_another_library_put_in_the_place_of_call_is_called(
    monkeypatch: pytest.MonkeyPatch, telemetry: Telemetry
) -> None:
    """Sentry's isolation of requests, its request data and its capture hang on it."""
    own = flask.Flask.__call__
    passed: list[str] = []

    def patched(self: flask.Flask, environ: Any, start_response: Any) -> Any:
        try:
            return own(self, environ, start_response)
        except Exception as error:
            passed.append(str(error))
            raise

    monkeypatch.setattr(flask.Flask, "__call__", patched)
    app = flask.Flask("shop")

    def layer(environ: Any, start_response: Any) -> Any:
        fault_site(PLAIN)

    app.wsgi_app = layer  # type: ignore[method-assign]
    EveryLayer(app)
    serve(app)
    assert passed == ["plain fault"]
    check(telemetry.spans, PLAIN, ESCAPED)
