"""Whose span it is: stock's, one around Django, everylayer's own, or none at all."""

from __future__ import annotations

import contextlib
import gc
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.test.utils import override_settings
from opentelemetry import trace
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware as AroundASGI
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware as AroundWSGI
from opentelemetry.trace import SpanKind, StatusCode

from contract import drive
from contract.expect import HANDLED, NOTHING, Expected, check
from contract.faults import PLAIN, named
from contract.responses import Run
from contract.telemetry import Telemetry, error_events, late_spans, server_span, server_spans
from djangoapp import plan
from djangoapp.cases import CASES, Case
from djangoapp.serve import ENTRY, run, stock_instrumentation
from everylayer.boundaries import aftermath

BOTH = pytest.mark.parametrize("server", ["wsgi", "asgi"])
STOCK = pytest.mark.parametrize("stock", [True, False], ids=["stock", "alone"])


def case(name: str) -> Case:
    return next(c for c in CASES if c.name == name)


def around(
    server: str, path: str, *, stock: bool, fails: str = "", layers: Any = ("Plain",)
) -> Run:
    """Serve one request by Django within the WSGI or ASGI instrumentation."""
    chain = [f"djangoapp.layers.{name}" for name in layers]
    with override_settings(MIDDLEWARE=[*chain, ENTRY]), plan.failing({fails: PLAIN}):
        if stock:
            with stock_instrumentation():
                return _around(server, path)
        return _around(server, path)


def _around(server: str, path: str) -> Run:
    if server == "asgi":
        app = AroundASGI(ASGIHandler(), exclude_spans=["receive", "send"])
        return drive.run_asgi(app, drive.scope(path))
    return drive.run_wsgi(AroundWSGI(WSGIHandler()), drive.environ(path))


@BOTH
@STOCK
@pytest.mark.parametrize(
    ("fails", "layer", "path"), [("plain.before", "Plain", "/ok"), ("view", "ok", "/ok")]
)
def test_the_span_around_django_gets_it(
    server: str, stock: bool, fails: str, layer: str, path: str, telemetry: Telemetry
) -> None:
    assert around(server, path, stock=stock, fails=fails).status == 500
    check(telemetry.spans, PLAIN, Expected(layer=layer))


@BOTH
@STOCK
def test_the_span_around_django_gets_what_escapes(
    server: str, stock: bool, telemetry: Telemetry
) -> None:
    run = around(server, "/missing", stock=stock, fails="handler404")
    assert run.status == 500
    found = error_events([server_span(telemetry.spans)])
    assert "handler404" in {e.event.attributes["everylayer.layer.name"] for e in found}


@BOTH
@STOCK
@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
def test_around_django_a_stream_fails_on_its_span(
    server: str, stock: bool, telemetry: Telemetry
) -> None:
    around(server, "/stream", stock=stock, fails="stream")
    found = error_events(telemetry.spans)
    assert len(found) == 1
    assert len(server_spans(telemetry.spans)) == 1
    assert found[0].span.status.status_code is StatusCode.ERROR


@STOCK
def test_around_django_a_receiver_fails_late(stock: bool, telemetry: Telemetry) -> None:
    from django.core.signals import request_finished

    request_finished.connect(plan.on_request_finished)
    try:
        # The WSGI instrumentation never ends its span when `close` raises.
        around("asgi", "/ok", stock=stock, fails="request_finished")
    finally:
        request_finished.disconnect(plan.on_request_finished)
    assert len(error_events(telemetry.spans)) == 1
    assert len(server_spans(telemetry.spans)) == 1


@BOTH
@STOCK
@pytest.mark.parametrize("validates", [True, False])
def test_a_host_that_is_not_allowed(
    server: str, stock: bool, validates: bool, telemetry: Telemetry
) -> None:
    layers = ("django.middleware.common.CommonMiddleware",) if validates else ("Quiet",)
    asked = Case("host", layers, {"": PLAIN}, HANDLED, headers=(("host", "evil.example"),))
    before = run(asked, server)
    telemetry.clear()
    after = run(asked, server, stock=stock, position="last")
    # Stock alone refuses both: it builds the URL for itself.
    assert before.status == after.status == (400 if validates else 200)
    assert before.body == after.body
    events = error_events(telemetry.spans)
    assert len(events) == validates
    assert trace.get_current_span() is trace.INVALID_SPAN
    if validates:
        assert events[0].span is server_span(telemetry.spans)
        assert events[0].span.status.status_code is StatusCode.UNSET
        assert events[0].event.attributes["everylayer.handled"] is True
        assert events[0].event.attributes["everylayer.layer.name"] == "CommonMiddleware"


@BOTH
@STOCK
def test_a_span_of_the_layers_own(server: str, stock: bool, telemetry: Telemetry) -> None:
    failing = Case("own", ("OwnSpan",), {"own_span": PLAIN}, Expected())
    run(failing, server, stock=stock, position="first")
    spans = {event.span.name: event for event in error_events(telemetry.spans)}
    assert len(spans) == 2
    assert "own work" in spans
    assert error_events([server_span(telemetry.spans)])


@BOTH
def test_own_server_span_is_like_stocks(server: str, telemetry: Telemetry) -> None:
    run(case("fine"), server, stock=True)
    stocks = server_span(telemetry.spans)
    telemetry.clear()
    run(case("fine"), server, position="first")
    ours = server_span(telemetry.spans)
    assert ours.name == stocks.name
    missing = set(stocks.attributes or {}) - set(ours.attributes or {})
    assert not missing
    assert ours.attributes["http.status_code"] == 200


@BOTH
@pytest.mark.parametrize("fault", ["system_exit", "cancelled"])
def test_own_server_span_of_a_request_without_a_response_is_named_after_the_route(
    fault: str, server: str, telemetry: Telemetry
) -> None:
    """As after a client that went away: a name with a path in it is one of too many."""
    (raised,) = named(fault)
    asked = Case("gone", ("Quiet",), {"view": raised}, NOTHING)
    assert run(asked, server, position="first").status is None
    assert server_span(telemetry.spans).name == "GET ok"  # the path is `/ok`


@BOTH
def test_own_server_span_continues_the_callers_trace(server: str, telemetry: Telemetry) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    asked = Case("parent", ("Quiet",), {"": PLAIN}, HANDLED, headers=(("traceparent", parent),))
    run(asked, server, position="first")
    assert f"{server_span(telemetry.spans).context.trace_id:032x}" == parent[3:35]


@BOTH
def test_no_server_span_where_it_is_not_wanted(server: str, telemetry: Telemetry) -> None:
    failing = case("plain.before-inside")
    run(failing, server, position="first", EVERYLAYER={"server_span": False})
    assert not telemetry.spans


@BOTH
@STOCK
def test_an_excluded_url_gets_no_span(
    server: str, stock: bool, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    from opentelemetry.instrumentation.django.middleware.otel_middleware import _DjangoMiddleware
    from opentelemetry.util.http import parse_excluded_urls

    monkeypatch.setenv("OTEL_PYTHON_DJANGO_EXCLUDED_URLS", "ok")
    monkeypatch.setattr(
        "opentelemetry.instrumentation.django._excluded_urls_from_env", parse_excluded_urls("ok")
    )
    monkeypatch.setattr(_DjangoMiddleware, "_excluded_urls", parse_excluded_urls("ok"))
    assert run(case("plain.before-inside"), server, stock=stock, position="first").status == 500
    assert not telemetry.spans


@pytest.mark.parametrize("type_", ["lifespan", "websocket"])
def test_scopes_that_django_does_not_serve(type_: str, telemetry: Telemetry) -> None:
    import asyncio

    with override_settings(MIDDLEWARE=[ENTRY]):
        handler = ASGIHandler()
    scope = {**drive.scope("/socket"), "type": type_}
    with pytest.raises(ValueError, match="only handle"):
        asyncio.run(handler(scope, None, None))
    # Refusing `lifespan` is how the protocol is declined.
    assert len(error_events(telemetry.spans)) == (type_ == "websocket")


def test_a_request_that_cannot_be_read(telemetry: Telemetry) -> None:
    with override_settings(MIDDLEWARE=[ENTRY]):
        handler = ASGIHandler()
    scope = drive.scope("/ok")
    scope["query_string"] = b"\xff\xfe"
    assert drive.run_asgi(handler, scope).status == 400
    event = error_events([server_span(telemetry.spans)])[0]
    assert event.event.attributes["exception.type"] == "UnicodeDecodeError"
    assert event.event.attributes["everylayer.handled"] is True
    assert event.span.status.status_code is StatusCode.UNSET


@BOTH
def test_the_span_ends_with_the_stream(server: str, telemetry: Telemetry) -> None:
    run(case("fine-stream"), server, stock=True, position="last")
    assert server_span(telemetry.spans).status.status_code is StatusCode.UNSET
    assert trace.get_current_span() is trace.INVALID_SPAN


@STOCK
@pytest.mark.parametrize("closes", [True, False])
def test_a_stream_that_nobody_reads_still_ends(
    stock: bool, closes: bool, telemetry: Telemetry
) -> None:
    with contextlib.ExitStack() as stack:
        stack.enter_context(override_settings(MIDDLEWARE=[ENTRY]))
        if stock:
            stack.enter_context(stock_instrumentation())
        body = WSGIHandler()(drive.environ("/stream"), lambda *_: None)
        assert not telemetry.spans
        if closes:
            body.close()
        else:
            next(iter(body))
            del body
            gc.collect()
            assert aftermath.settle()
    assert len(server_spans(telemetry.spans)) == 1
    assert not error_events(telemetry.spans)


def test_a_file_is_left_to_the_server(telemetry: Telemetry) -> None:
    class FileWrapper:
        def __init__(self, file: Any, size: int) -> None:
            self.file = file

        def __iter__(self) -> Any:
            return iter(lambda: self.file.read(100), b"")

        def close(self) -> None:
            self.file.close()

    environ = {**drive.environ("/file"), "wsgi.file_wrapper": FileWrapper}
    with override_settings(MIDDLEWARE=[ENTRY]):
        body = WSGIHandler()(environ, lambda *_: None)
    assert isinstance(body, FileWrapper)
    assert b"".join(body) == b"file"
    body.close()
    assert len(server_spans(telemetry.spans)) == 1


@BOTH
def test_a_layer_that_replaces_the_response_by_a_stream(server: str, telemetry: Telemetry) -> None:
    made = Case("made", ("MakesStream", "Plain"), {"plain.after": PLAIN}, HANDLED)
    run(made, server, stock=True, position="first")
    check(telemetry.spans, PLAIN, HANDLED)


@BOTH
def test_a_layer_that_drops_the_stream(server: str, telemetry: Telemetry) -> None:
    from django.http import HttpResponse

    import djangoapp.layers

    class Drops(djangoapp.layers.Quiet):
        def __call__(self, request: Any) -> Any:
            self.get_response(request)
            return HttpResponse("instead")

    djangoapp.layers.Drops = Drops
    with override_settings(MIDDLEWARE=["djangoapp.layers.Drops", ENTRY]), stock_instrumentation():
        # Stock is first in the list: put it last, inside the layer that drops its stream.
        from django.conf import settings

        settings.MIDDLEWARE = [*settings.MIDDLEWARE[1:], settings.MIDDLEWARE[0]]
        handler = ASGIHandler() if server == "asgi" else WSGIHandler()
        asked = Case("dropped", (), {"": PLAIN}, HANDLED, path="/stream")
        from djangoapp.serve import serve

        assert serve(handler, asked, server).body == b"instead"
        settings.MIDDLEWARE = [settings.MIDDLEWARE[-1], *settings.MIDDLEWARE[:-1]]
    assert len(server_spans(telemetry.spans)) == 1


@BOTH
@STOCK
def test_nothing_is_left_in_the_context(server: str, stock: bool, telemetry: Telemetry) -> None:
    for name in ("layer-system_exit", "layer-base_exception", "handler500", "exit-after"):
        run(case(name), server, stock=stock, position="first")
        assert trace.get_current_span() is trace.INVALID_SPAN
    assert len(server_spans(telemetry.spans)) == 4
    assert all(span.parent is None for span in server_spans(telemetry.spans))


@BOTH
@STOCK
def test_exceptions_that_django_is_told_to_let_through(
    server: str, stock: bool, telemetry: Telemetry
) -> None:
    run(case("view"), server, stock=stock, position="first", DEBUG_PROPAGATE_EXCEPTIONS=True)
    check(telemetry.spans, PLAIN, Expected(layer="ok"))


def in_a_process_of_its_own(code: str) -> str:
    """Run `code` with the corpus at hand, and return what it prints."""
    head = f"""
        import gc, sys
        if sys.version_info < (3, 11):
            # It crashes where the collector frees what stock has left while a context is set.
            gc.disable()
        sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parents[1] / "support")]!r}
        import conftest
        from djangoapp.cases import CASES
        from djangoapp.serve import run
        from everylayer import own_failures
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(head) + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


def test_without_a_provider_nothing_happens() -> None:
    code = """
        from contract.responses import same
        from everylayer_django import patches
        for case in CASES:
            if case.name.startswith(("plain", "handler", "view", "stream", "request_", "fine")):
                for server in case.servers:
                    patches.uninstall()
                    before = run(case, server)
                    same(before, run(case, server, position="first"))
        assert not own_failures(), own_failures()
        print("done")
    """
    assert in_a_process_of_its_own(code) == "done"


def test_beside_sentry() -> None:
    """Sentry patches the same places, and stands around every layer."""
    pytest.importorskip("sentry_sdk")
    code = """
        import sentry_sdk
        from contract.expect import check
        from contract.telemetry import session
        sentry_sdk.init(dsn="http://key@127.0.0.1:9/1", transport=lambda envelope: None)
        import re
        breaks = re.compile("hostile|lying")  # Sentry's own code
        names = ("plain", "both", "mixin", "process_", "view", "handler", "request_", "forgiven")
        for case in CASES:
            if case.name.startswith(names) and not breaks.search(case.name):
                for server in case.servers:
                    with session() as telemetry:
                        run(case, server, stock=True, position="last")
                        check(telemetry.spans, case.fault, case.expected)
        assert not own_failures(), own_failures()
        print("done")
    """
    assert in_a_process_of_its_own(code) == "done"


def test_a_resource_fails_outside_any_request(telemetry: Telemetry) -> None:
    from django.http import HttpResponse

    with override_settings(MIDDLEWARE=[ENTRY]):
        WSGIHandler()
    response = HttpResponse("loose")
    with plan.failing({"resource.close": PLAIN}):
        response._resource_closers.append(plan.Closes().close)
        response.close()
    assert response.closed
    assert not telemetry.spans


@BOTH
def test_late_spans_are_children_of_the_request(server: str, telemetry: Telemetry) -> None:
    run(case("resource-close"), server, position="first")
    (late,) = late_spans(telemetry.spans)
    assert late.parent.span_id == server_span(telemetry.spans).context.span_id
    assert late.kind is SpanKind.INTERNAL


@pytest.mark.parametrize(
    ("fails", "path", "layer"),
    [
        ("plain.before", "/ok", "Plain"),
        ("request_started", "/ok", "on_request_started"),
        ("view", "/ok", "ok"),
    ],
)
def test_within_another_app_that_everylayer_watches(
    fails: str, path: str, layer: str, telemetry: Telemetry
) -> None:
    from django.core.signals import request_started

    from everylayer.asgi import Seam
    from everylayer.settings import resolve

    with override_settings(MIDDLEWARE=["djangoapp.layers.Plain", ENTRY]):
        app = Seam(ASGIHandler(), resolve())
    request_started.connect(plan.on_request_started)
    try:
        with plan.failing({fails: PLAIN}):
            drive.run_asgi(app, drive.scope(path))
    finally:
        request_started.disconnect(plan.on_request_started)
    check(telemetry.spans, PLAIN, Expected(layer=layer))


def test_the_failing_handler_describes_the_span(telemetry: Telemetry) -> None:
    run(case("handler404"), "wsgi", stock=True, position="first")
    assert server_span(telemetry.spans).status.description == PLAIN.message


def test_a_view_may_be_anything_callable(telemetry: Telemetry) -> None:
    """The layer's name comes from the view, however it was made."""
    import functools

    from django.urls import path

    from djangoapp import urls, views

    def partly(request: Any, how: str) -> None:
        raise LookupError(how)

    class ViewSet:
        pass

    def generated(request: Any) -> None:
        raise LookupError("generated")

    generated.cls = ViewSet  # as REST framework does
    urls.urlpatterns += [
        path("partly", functools.partial(partly, how="partly")),
        path("generated", generated),
    ]
    from django.urls import clear_url_caches

    try:
        clear_url_caches()
        names = []
        for asked in ("/partly", "/generated", "/class"):
            telemetry.clear()
            run(
                Case(asked, (), {"class_view": PLAIN}, HANDLED, path=asked), "wsgi", position="last"
            )
            (event,) = error_events(telemetry.spans)
            names.append(event.event.attributes["everylayer.layer.name"])
    finally:
        del urls.urlpatterns[-2:]
        clear_url_caches()
    assert names == [
        "test_a_view_may_be_anything_callable.partly",
        "ViewSet",
        views.ClassView.__name__,
    ]
