"""A method of Flask that is not what it was is left alone: the app works, and the log says so."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any

import flask
import pytest
from flask.app import Flask

from contract import drive
from contract.responses import Run, same
from contract.telemetry import Telemetry, error_events, server_span
from everylayer_flask import EveryLayer, patches, seams

PATHS = {"/fails": "ValueError", "/handled": "LookupError", "/teardown": "KeyError"}
# What the seams that are left still see.
RECORDED = {
    "__call__": {"/teardown"},
    "wsgi_app": {*PATHS},
    "handle_user_exception": {"/fails", "/teardown"},
    "handle_exception": {*PATHS},
    "do_teardown_request": {*PATHS},
    "finalize_request": {*PATHS},
}


def changed(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return `original` as a later version might have it: it takes one thing more."""

    def later(self: Any, *args: Any, of_a_later_version: None = None, **kwargs: Any) -> Any:
        return original(self, *args, **kwargs)

    later.__name__ = original.__name__
    return later


CONTEXT = object()


def with_context(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return `original` as Flask 3.2 has it: it takes the context first, or adds it itself."""

    def later(self: Any, ctx: Any, exc: Any = None) -> Any:
        return original(self, exc if ctx is CONTEXT else ctx)

    return later


@pytest.fixture(autouse=True)
def _told_nobody() -> Iterator[None]:
    seams._fits.cache_clear()
    yield
    seams._fits.cache_clear()


def make(cls: type[Flask] = Flask) -> Flask:
    """Return an app that fails in a view, in one with an error handler, and after one."""
    app = cls("shop")

    def view(error: Exception) -> Callable[[], str]:
        def raises() -> str:
            raise error

        return raises

    app.add_url_rule("/fails", "fails", view(ValueError("fails")))
    app.add_url_rule("/handled", "handled", view(LookupError("handled")))
    app.add_url_rule("/teardown", "teardown", lambda: "fine")
    app.register_error_handler(LookupError, lambda error: "never mind")

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        if flask.request.path == "/teardown":
            raise KeyError("teardown")

    return app


def serve(app: Any, path: str) -> Run:
    return drive.run_wsgi(app, drive.environ(path))


def seen(run: Run) -> Any:
    """Return what a client and a server see: in 3.10 our frame stands for the app's `__call__`."""
    return run.status, run.headers, run.body, run.raised and (run.raised.type, run.raised.message)


def recorded(telemetry: Telemetry) -> list[str]:
    return [
        str(found.event.attributes["exception.type"]) for found in error_events(telemetry.spans)
    ]


def test_every_target_has_a_case() -> None:
    assert {target.name for target in seams.TARGETS} == set(RECORDED)


@pytest.mark.parametrize("name", [target.name for target in seams.TARGETS])
def test_a_changed_target_is_left_alone(
    name: str,
    telemetry: Telemetry,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Flask, name, changed(getattr(Flask, name)))
    found = vars(Flask)[name]
    bare, app = make(), make()
    with caplog.at_level(logging.WARNING, "everylayer"):
        EveryLayer(app)
        EveryLayer(make())
    (said,) = [r.getMessage() for r in caplog.records if r.name.startswith("everylayer")]
    why = next(target.why for target in seams.TARGETS if target.name == name)
    for part in (f"flask.Flask.{name} ", version("flask"), why, "newer everylayer-flask"):
        assert part in said
    assert vars(Flask)[name] is found

    for path, kind in PATHS.items():
        telemetry.clear()
        before = serve(bare, path)
        telemetry.clear()
        after = serve(app, path)
        assert seen(before) == seen(after)
        assert recorded(telemetry) == ([kind] if path in RECORDED[name] else [])

    patches.release(app)
    assert type(app) is Flask
    telemetry.clear()
    same(serve(bare, "/handled"), serve(app, "/handled"))
    assert telemetry.spans == ()


def test_nothing_is_said_of_the_flask_that_is_there(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "everylayer"):
        EveryLayer(make())
    assert caplog.records == []
    assert seams.unknown() == frozenset()


def test_the_plain_layer_is_put_on_once_and_takes_the_last_settings(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Flask, "__call__", changed(Flask.__call__))
    app = make()
    EveryLayer(app)
    layer = app.wsgi_app
    EveryLayer(app, ignored=["KeyError"])
    assert app.wsgi_app is layer
    serve(app, "/teardown")
    assert recorded(telemetry) == []


def test_the_teardown_of_flask_3_2(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the context first, and there is nothing that stands for the error in flight."""
    monkeypatch.setattr(Flask, "do_teardown_request", with_context(Flask.do_teardown_request))
    assert seams.unknown() == frozenset()
    app = make()
    EveryLayer(app)
    with (
        telemetry.provider.get_tracer("tests").start_as_current_span("request"),
        app.request_context(drive.environ("/fails")),
    ):
        app.do_teardown_request(CONTEXT, ValueError("by position"))
        app.do_teardown_request(CONTEXT, exc=LookupError("by name"))
        app.do_teardown_request(CONTEXT, None)
        app.do_teardown_request(CONTEXT)
    assert recorded(telemetry) == ["ValueError", "LookupError"]


class TeardownOfItsOwn(Flask):
    """Takes what it likes."""

    def do_teardown_request(self, *args: Any, **kwargs: Any) -> None:
        super().do_teardown_request(*args, **kwargs)


class TeardownWithMore(Flask):
    """Takes more than Flask gives."""

    def do_teardown_request(self, exc: Any = None, quietly: bool = False) -> None:
        super().do_teardown_request(exc)


@pytest.mark.parametrize("cls", [TeardownOfItsOwn, TeardownWithMore])
def test_a_teardown_of_the_apps_own_class(cls: type[Flask], telemetry: Telemetry) -> None:
    bare, app = make(cls), make(cls)
    EveryLayer(app)
    for path, kind in PATHS.items():
        before = serve(bare, path)
        telemetry.clear()
        assert seen(before) == seen(serve(app, path))
        assert recorded(telemetry) == [kind]
        assert server_span(telemetry.spans)
