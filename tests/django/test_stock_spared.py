"""What stock does without on a request that has a span: nobody else can tell."""

from __future__ import annotations

import contextlib
import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest
from django.test.utils import override_settings
from opentelemetry.instrumentation.django import DjangoInstrumentor
from opentelemetry.instrumentation.django.middleware.otel_middleware import _DjangoMiddleware
from opentelemetry.util.http import ExcludeList

from contract import drive
from contract.expect import Expected, check
from contract.faults import PLAIN
from contract.telemetry import Telemetry, error_events, server_span, server_spans
from djangoapp import plan
from djangoapp.serve import ENTRY
from everylayer_django import patches

BOTH = pytest.mark.parametrize("server", ["wsgi", "asgi"])
PATHS = pytest.mark.parametrize("path", ["/ok", "/none"])
LAYERS = ["djangoapp.layers.Plain", "djangoapp.layers.Quiet", ENTRY]


@contextlib.contextmanager
def served(server: str, **hooks: Any) -> Iterator[Any]:
    """Yield what serves a path, with stock's instrumentation and the `hooks` of its user."""
    with override_settings(MIDDLEWARE=LAYERS):
        DjangoInstrumentor().instrument(skip_dep_check=True, **hooks)
        try:
            handler: Any = ASGIHandler() if server == "asgi" else WSGIHandler()

            def serve(path: str) -> Any:
                if server == "asgi":
                    return drive.run_asgi(handler, drive.scope(path))
                return drive.run_wsgi(handler, drive.environ(path))

            yield serve
        finally:
            DjangoInstrumentor().uninstrument()


@BOTH
@PATHS
def test_the_url_is_built_once(
    server: str, path: str, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[str | None] = []
    original = HttpRequest.build_absolute_uri

    def counted(self: HttpRequest, location: str | None = None) -> str:
        built.append(location)
        return original(self, location)

    monkeypatch.setattr(HttpRequest, "build_absolute_uri", counted)
    with served(server) as serve:
        serve(path)
    assert built == ["?"]
    assert server_span(telemetry.spans).attributes["http.route"] == path.strip("/")


@BOTH
@PATHS
def test_hooks_and_layers_get_the_url(server: str, path: str, telemetry: Telemetry) -> None:
    found: dict[str, list[str]] = {}
    requests: list[weakref.ref[HttpRequest]] = []

    def ask(name: str, request: HttpRequest) -> None:
        found[name] = [request.build_absolute_uri(location) for location in ("?", None, "/x")]

    def responded(span: Any, request: HttpRequest, response: Any) -> None:
        ask("response_hook", request)
        assert "build_absolute_uri" not in vars(request)
        requests.append(weakref.ref(request))

    with served(server, response_hook=responded) as serve:
        serve(path)
    plain = [f"http://127.0.0.1{path}", f"http://127.0.0.1{path}", "http://127.0.0.1/x"]
    assert found == {"response_hook": plain}
    gc.collect()
    assert [request() for request in requests] == [None]


@BOTH
def test_a_stock_that_asks_for_something_else(
    server: str, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[str] = []

    def asks(self: Any, request: HttpRequest, response: Any) -> Any:
        found.append(request.build_absolute_uri("/x"))
        found.append(request.build_absolute_uri("?"))
        return original(self, request, response)

    def fails(self: Any, request: HttpRequest, response: Any) -> Any:
        requests.append(request)
        raise RuntimeError("stock is broken")

    requests: list[HttpRequest] = []
    original = _DjangoMiddleware.process_response
    with served(server) as serve:
        monkeypatch.setattr(_DjangoMiddleware, "process_response", asks)
        serve("/ok")
        monkeypatch.setattr(_DjangoMiddleware, "process_response", fails)
        serve("/ok")
    assert found == ["http://127.0.0.1/x", "http://127.0.0.1/ok"]
    assert "build_absolute_uri" not in vars(requests[0])
    assert len(server_spans(telemetry.spans)) == 2


@BOTH
def test_a_method_of_the_apps_own_stays(server: str, telemetry: Telemetry) -> None:
    asked: list[str | None] = []

    def own(location: str | None = None) -> str:
        asked.append(location)
        return "http://own/"

    def begins(span: Any, request: HttpRequest) -> None:
        vars(request)["build_absolute_uri"] = own

    def responded(span: Any, request: HttpRequest, response: Any) -> None:
        assert vars(request)["build_absolute_uri"] is own
        asked.append("response_hook")

    with served(server, request_hook=begins, response_hook=responded) as serve:
        serve("/ok")
    assert asked == ["?", "?", "response_hook"]


@BOTH
@pytest.mark.parametrize("pattern", ["^$", "nowhere", "/other"])
def test_urls_that_are_excluded(
    server: str, pattern: str, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(server) as serve:
        monkeypatch.setattr(_DjangoMiddleware, "_excluded_urls", ExcludeList([pattern]))
        with plan.failing({"plain.after": PLAIN}):
            serve("/ok")
    assert server_span(telemetry.spans).end_time is not None
    check(telemetry.spans, PLAIN, Expected(layer="Plain", phase="call"))


@BOTH
def test_an_excluded_url_has_no_span_of_stock(
    server: str, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(server) as serve:
        monkeypatch.setattr(_DjangoMiddleware, "_excluded_urls", ExcludeList(["/ok"]))
        before = serve("/ok")
        assert before.status == 200
        assert not telemetry.spans
        serve("/none")
    assert len(error_events(telemetry.spans)) == 1


@BOTH
def test_a_chain_that_outlives_the_patches_is_stocks_again(
    server: str, telemetry: Telemetry
) -> None:
    with served(server) as serve:
        patches.uninstall()
        with plan.failing({"view": PLAIN}):
            serve("/ok")
    (event,) = server_span(telemetry.spans).events
    assert event.name == "exception"
    assert "everylayer.layer.name" not in event.attributes
