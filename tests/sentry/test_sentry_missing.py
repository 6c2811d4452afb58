"""Without sentry-sdk: everything else works, and a setting that needs it says so at the start."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

import everylayer
from contract.drive import environ, run_wsgi
from contract.responses import Run
from contract.telemetry import Telemetry, error_events
from everylayer.settings import SettingsError, resolve
from everylayer.sinks.sentry import switch

TRACE_URL = "https://jaeger.example/trace/{trace_id}"
SENTRY_URL = "https://sentry.example/issues/{event_id}"


@pytest.fixture(autouse=True)
def _hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    switch.detach()
    for name in [name for name in sys.modules if name.partition(".")[0] == "sentry_sdk"]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("capture", "events", "link"):
        monkeypatch.delitem(sys.modules, f"everylayer.sinks.sentry.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "sentry_sdk", None)  # type: ignore[arg-type]


def flask_app(**settings: Any) -> Run:
    import flask

    import everylayer_flask

    app = flask.Flask("shop")
    app.add_url_rule("/", view_func=_fail)
    everylayer_flask.EveryLayer(app, **settings)
    return run_wsgi(app, environ("/"))


def _fail() -> str:
    raise ValueError("broken")


def starlette_app(**settings: Any) -> None:
    from starlette.applications import Starlette

    from everylayer_starlette import EveryLayerMiddleware

    Starlette().add_middleware(EveryLayerMiddleware, **settings)


def django_app(**settings: Any) -> None:
    from django.conf import settings as django_settings
    from django.core.handlers.wsgi import WSGIHandler
    from django.test import override_settings

    if not django_settings.configured:
        django_settings.configure(SECRET_KEY="not a secret", ALLOWED_HOSTS=["*"])
    entry = ["everylayer_django.EveryLayerMiddleware"]
    with override_settings(MIDDLEWARE=entry, EVERYLAYER=settings, ROOT_URLCONF=__name__):
        WSGIHandler()


urlpatterns: list[Any] = []
APPS: list[Callable[..., Any]] = [flask_app, starlette_app, django_app, everylayer.configure]


@pytest.mark.parametrize("given", [{"sentry": "capture"}, {"sentry_url": SENTRY_URL}])
@pytest.mark.parametrize("start", APPS)
def test_the_app_does_not_start(start: Callable[..., Any], given: dict[str, str]) -> None:
    said = (SettingsError, ImproperlyConfigured)
    with pytest.raises(said, match="everylayer\\[sentry\\]") as found:
        start(**given)
    assert next(iter(given)) in str(found.value)


@pytest.mark.parametrize("given", [{"sentry": "capture"}, {"sentry_url": SENTRY_URL}])
def test_off_or_disabled_asks_for_nothing(given: dict[str, str]) -> None:
    assert resolve({**given, "sentry": "off"}, environ={}).sentry == "off"
    assert not resolve({**given, "enabled": False}, environ={}).enabled


def test_a_variable_counts_too() -> None:
    with pytest.raises(SettingsError, match="everylayer\\[sentry\\]"):
        resolve({}, environ={"EVERYLAYER_SENTRY": "capture"})


def test_a_link_is_only_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "everylayer"):
        assert resolve({"trace_url": TRACE_URL}, environ={}).trace_url == TRACE_URL
    assert "everylayer[sentry]" in caplog.text
    caplog.clear()
    resolve({}, environ={})
    assert not caplog.records


def test_errors_arrive_without_it(telemetry: Telemetry) -> None:
    assert flask_app(trace_url=TRACE_URL).status == 500
    assert len(error_events(telemetry.spans)) == 1
    assert switch.link is None
    with pytest.raises(ImportError):
        importlib.import_module("everylayer.sinks.sentry.link")
