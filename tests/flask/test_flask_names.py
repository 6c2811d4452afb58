"""Layers that share their code, or call one another from within, keep their own names."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import flask
import flask.views
import pytest

from contract import drive
from contract.faults import PLAIN, fault_site
from contract.telemetry import Telemetry, error_events
from everylayer_flask import EveryLayer, EveryLayerMiddleware, naming
from flask_layers import Through


def shop() -> flask.Flask:
    app = flask.Flask("shop")
    app.add_url_rule("/", "home", lambda: "home")
    return app


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def check(*args: Any, **named: Any) -> Any:
        return function(*args, **named)

    return check


def names(telemetry: Telemetry) -> list[str]:
    found = [event.event.attributes or {} for event in error_events(telemetry.spans)]
    return [str(values["everylayer.layer.name"]).rpartition(".")[2] for values in found]


def kinds_and_phases(telemetry: Telemetry) -> list[tuple[object, object]]:
    found = [event.event.attributes or {} for event in error_events(telemetry.spans)]
    return [(each["everylayer.layer.kind"], each["everylayer.layer.phase"]) for each in found]


@pytest.mark.parametrize("most", [1, 1024])
def test_views_below_the_same_decorator_keep_their_names(
    most: int, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(naming, "_MAX_LAYERS", most)
    app = shop()
    EveryLayer(app)

    def first_view() -> str:
        fault_site(PLAIN)

    def second_view() -> str:
        fault_site(PLAIN)

    app.add_url_rule("/first", view_func=checked(first_view))
    app.add_url_rule("/second", view_func=checked(second_view))
    for path in ("/second", "/first", "/second"):
        telemetry.clear()
        drive.run_wsgi(app, drive.environ(path))
        (event,) = error_events(telemetry.spans)
        name = str((event.event.attributes or {})["everylayer.layer.name"])
        assert name.endswith(f"{path[1:]}_view")


def test_hooks_below_the_same_decorator_keep_their_names(telemetry: Telemetry) -> None:
    app = shop()
    EveryLayer(app)

    def first_hook() -> None: ...

    def second_hook() -> None:
        fault_site(PLAIN)

    app.before_request(checked(first_hook))
    app.before_request(checked(second_hook))
    drive.run_wsgi(app, drive.environ())
    assert names(telemetry) == ["second_hook"]


def test_a_decorated_view_class_is_named(telemetry: Telemetry) -> None:
    app = shop()
    EveryLayer(app)

    class Items(flask.views.MethodView):
        decorators = (checked,)

        def get(self) -> str:
            fault_site(PLAIN)

    app.add_url_rule("/items", view_func=Items.as_view("items"))
    drive.run_wsgi(app, drive.environ("/items"))
    assert names(telemetry) == ["Items"]


class ClosesInside(Through):
    """Hands on a body of its own, and a `start_response`."""

    class Body:
        def __init__(self, body: Any) -> None:
            self.body = body

        def __iter__(self) -> Iterator[bytes]:
            return iter(self.body)

        def close(self) -> None:
            self.body.close()

    def __call__(self, environ: Any, start_response: Any) -> Any:
        def started(status: str, headers: Any, *rest: Any) -> Any:
            if environ["PATH_INFO"] == "/refused":
                fault_site(PLAIN)
            return start_response(status, headers, *rest)

        return self.Body(self.app(environ, started))


def test_what_a_view_has_called_on_close_is_named_below_a_layers_body(
    telemetry: Telemetry,
) -> None:
    app = shop()
    app.wsgi_app = ClosesInside(app.wsgi_app)
    EveryLayer(app)

    @app.get("/closed")
    def closed() -> flask.Response:
        response = flask.Response("closed")

        def log_it() -> None:
            fault_site(PLAIN)

        response.call_on_close(log_it)
        return response

    drive.run_wsgi(app, drive.environ("/closed"))
    assert names(telemetry) == ["log_it"]


def test_the_start_response_of_a_layer_around_the_app_is_that_layer(telemetry: Telemetry) -> None:
    app = EveryLayerMiddleware(ClosesInside(shop()))
    drive.run_wsgi(app, drive.environ("/refused"))
    assert names(telemetry) == ["ClosesInside"]


def test_what_passes_a_context_that_a_view_has_pushed_is_no_stream(telemetry: Telemetry) -> None:
    app = shop()
    EveryLayer(app)

    def view() -> str:
        with app.test_request_context("/"):
            fault_site(PLAIN)

    app.add_url_rule("/pushes", view_func=view)
    drive.run_wsgi(app, drive.environ("/pushes"))
    assert kinds_and_phases(telemetry) == [("view", "view")]


def test_what_is_asked_for_after_one_request_is_no_session(telemetry: Telemetry) -> None:
    app = shop()
    EveryLayer(app)

    def after(response: flask.Response) -> flask.Response:
        fault_site(PLAIN)

    def view() -> str:
        flask.after_this_request(after)
        return "done"

    app.add_url_rule("/asks", view_func=view)
    drive.run_wsgi(app, drive.environ("/asks"))
    assert kinds_and_phases(telemetry) == [("hook", "after_request")]


def test_what_a_view_catches_around_such_a_context_is_its_own_affair(telemetry: Telemetry) -> None:
    app = shop()
    EveryLayer(app)

    def view() -> str:
        with contextlib.suppress(ValueError), app.test_request_context("/"):
            fault_site(PLAIN)
        return "done"

    app.add_url_rule("/catches", view_func=view)
    assert drive.run_wsgi(app, drive.environ("/catches")).body == b"done"
    assert not error_events(telemetry.spans)
