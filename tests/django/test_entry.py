"""The line in MIDDLEWARE, its settings, and everything that can be got wrong about it."""

from __future__ import annotations

import logging
import subprocess
import sys
import textwrap
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.test import AsyncRequestFactory, Client, RequestFactory
from django.test.utils import override_settings
from opentelemetry import trace

import everylayer_django
from contract.telemetry import Telemetry, error_events, server_span
from djangoapp.serve import ENTRY
from everylayer_django import EveryLayerMiddleware, patches


@pytest.mark.parametrize("name", everylayer_django.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(everylayer_django, name)


def test_the_entry_leaves_the_chain() -> None:
    with override_settings(MIDDLEWARE=[ENTRY]):
        chain = WSGIHandler()._middleware_chain
    with override_settings(MIDDLEWARE=[]):
        bare = WSGIHandler()._middleware_chain
    assert chain.__wrapped__.__qualname__ == bare.__wrapped__.__qualname__


def wsgi_app(environ: Any, start_response: Any) -> Any: ...


async def asgi_app(scope: Any, receive: Any, send: Any) -> None: ...


@pytest.mark.parametrize("app", [wsgi_app, asgi_app, None, "app", 7])
def test_anything_but_get_response_is_refused(app: Any) -> None:
    with pytest.raises(TypeError, match="is a Django middleware") as caught:
        EveryLayerMiddleware(app)
    assert "everylayer_flask.EveryLayer" in str(caught.value)
    assert "MIDDLEWARE" in str(caught.value)


def test_a_starlette_app_is_told_what_to_use() -> None:
    starlette = pytest.importorskip("starlette.applications")
    app = starlette.Starlette()
    app.add_middleware(EveryLayerMiddleware)
    with pytest.raises(TypeError, match=r"everylayer_starlette\.EveryLayerMiddleware"):
        app.build_middleware_stack()


def test_a_flask_app_is_told_what_to_use() -> None:
    flask = pytest.importorskip("flask")
    app = flask.Flask("shop")
    for wrong in (app, app.wsgi_app):
        with pytest.raises(TypeError, match=r"everylayer_flask\.EveryLayer"):
            EveryLayerMiddleware(wrong)


def test_a_callable_without_a_signature_is_taken() -> None:
    class Opaque:
        __signature__ = "none"

        def __call__(self, request: Any) -> HttpResponse:
            return HttpResponse("fine")

    assert EveryLayerMiddleware(Opaque())(RequestFactory().get("/")).content == b"fine"


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ({"max_event": 3}, "max_events"),
        ({"max_events": "three"}, "whole number"),
        ({"client_errors": "some"}, "client_errors"),
        (["enabled"], "must be a dict"),
    ],
)
def test_a_bad_setting_fails_at_start_up(written: Any, says: str) -> None:
    with (
        override_settings(MIDDLEWARE=[ENTRY], EVERYLAYER=written),
        pytest.raises(ImproperlyConfigured, match=says) as caught,
    ):
        WSGIHandler()
    assert "EVERYLAYER" in str(caught.value)


def test_a_bad_variable_fails_at_start_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERYLAYER_MAX_EVENTS", "many")
    with (
        override_settings(MIDDLEWARE=[ENTRY]),
        pytest.raises(ImproperlyConfigured, match="EVERYLAYER_MAX_EVENTS"),
    ):
        WSGIHandler()


def test_settings_of_the_app_win(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERYLAYER_CLIENT_ERRORS", "none")
    for written, events in (({}, 0), ({"client_errors": "all"}, 1)):
        telemetry.clear()
        with override_settings(MIDDLEWARE=[ENTRY], EVERYLAYER=written):
            assert Client().get("/forbidden").status_code == 403
        assert len(error_events(telemetry.spans)) == events


def test_switched_off_records_nothing(telemetry: Telemetry) -> None:
    with override_settings(MIDDLEWARE=[ENTRY], EVERYLAYER={"enabled": False}):
        assert Client(raise_request_exception=False).get("/none").status_code == 500
    assert not error_events(telemetry.spans)


def fails(request: Any) -> HttpResponse:
    raise LookupError("crossed")


async def fails_later(request: Any) -> HttpResponse:
    raise LookupError("crossed")


def test_called_directly_it_is_a_layer(telemetry: Telemetry) -> None:
    layer = EveryLayerMiddleware(fails)
    with trace.get_tracer("app").start_as_current_span("request"), pytest.raises(LookupError) as e:
        layer(RequestFactory().get("/"))
    assert [
        event.event.attributes["exception.message"] for event in error_events(telemetry.spans)
    ] == ["crossed"]
    if sys.version_info >= (3, 11):
        assert "everylayer" not in str(e.traceback[1].path)


@pytest.mark.filterwarnings("ignore")
def test_called_directly_it_is_an_async_layer(telemetry: Telemetry) -> None:
    import asyncio

    layer = EveryLayerMiddleware(fails_later)

    async def main() -> None:
        with trace.get_tracer("app").start_as_current_span("request"), pytest.raises(LookupError):
            await layer(AsyncRequestFactory().get("/"))

    asyncio.run(main())
    assert len(error_events(telemetry.spans)) == 1


class Composed:
    """A layer of the app that has everylayer's inside."""

    def __init__(self, get_response: Any) -> None:
        self.inner = EveryLayerMiddleware(get_response)

    def __call__(self, request: Any) -> Any:
        response = self.inner(request)
        response["X-Composed"] = "yes"
        return response


def test_inside_another_middleware_it_stays(telemetry: Telemetry) -> None:
    import djangoapp.layers

    djangoapp.layers.Composed = Composed
    with override_settings(MIDDLEWARE=["djangoapp.layers.Composed"]):
        response = Client(raise_request_exception=False).get("/none")
    assert response["X-Composed"] == "yes"
    assert len(error_events([server_span(telemetry.spans)])) == 1


def test_named_twice_it_records_once(telemetry: Telemetry) -> None:
    with override_settings(MIDDLEWARE=[ENTRY, ENTRY]):
        Client(raise_request_exception=False).get("/none")
    assert len(error_events(telemetry.spans)) == 1


@pytest.mark.parametrize("server", ["sync", "async"])
def test_the_test_clients_see_no_difference(server: str, telemetry: Telemetry) -> None:
    with override_settings(MIDDLEWARE=[ENTRY]), pytest.raises(ValueError, match="returned None"):
        Client().get("/none")
    event = error_events([server_span(telemetry.spans)])[0].event
    assert event.attributes["everylayer.layer.name"] == "returns_none"


def test_a_patch_that_does_not_fit_is_left_out(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    patches.uninstall()
    odd = patches.Patch(
        "django.http.response:HttpResponseBase", "close", "self now", lambda o: o, "odd"
    )
    gone = patches.Patch("django.http.response:Gone", "close", "self", lambda o: o, "none")
    absent = patches.Patch("no_such_module:", "close", "self", lambda o: o, "none")
    monkeypatch.setattr(patches, "PATCHES", (odd, gone, absent))
    before = HttpResponseBase.close
    with caplog.at_level(logging.WARNING, "everylayer"):
        patches.install()
    assert HttpResponseBase.close is before
    assert [r.getMessage().split(" of Django")[0] for r in caplog.records] == [
        "everylayer does not know django.http.response.HttpResponseBase.close",
        "everylayer does not know django.http.response.Gone.close",
    ]


def test_a_patch_on_top_of_another_ones_fits() -> None:
    from django.http.response import HttpResponseBase

    found = HttpResponseBase.close

    def theirs(*args: Any, **kwargs: Any) -> None:
        found(*args, **kwargs)

    HttpResponseBase.close = theirs
    try:
        patches.install()
        assert HttpResponseBase.close is not theirs
        patches.uninstall()
        assert HttpResponseBase.close is theirs
    finally:
        HttpResponseBase.close = found


def test_without_django_the_import_says_so() -> None:
    code = """
        import sys
        sys.modules["django"] = None
        try:
            import everylayer_django
        except ImportError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    assert "needs Django 4.2" in done.stdout
