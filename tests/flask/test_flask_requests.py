"""What a request leaves behind: spans of our own, the context, bodies, other apps inside."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import Any

import flask
import pytest
from opentelemetry import baggage, trace
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware
from werkzeug.middleware.dispatcher import DispatcherMiddleware

import everylayer
from contract import drive
from contract.expect import ESCAPED, HANDLED, LATE, NOTHING, check
from contract.faults import PLAIN, Fault, fault_site
from contract.telemetry import Telemetry, error_events, parent_of, server_span, server_spans
from everylayer.boundaries import aftermath
from everylayer_flask import EveryLayer, EveryLayerMiddleware, stock
from flask_harness import HEADERS, TRACE_ID
from flask_layers import Recovers, RecoversLater, Through


@pytest.fixture
def app() -> flask.Flask:
    made = flask.Flask("shop")
    made.add_url_rule("/", "home", lambda: "home")
    made.add_url_rule("/item/<int:item>", "item", lambda item: fault_site(PLAIN))
    return made


def serve(app: Any, path: str = "/", **more: Any) -> Any:
    return drive.run_wsgi(app, drive.environ(path, **more))


def add_stock(app: flask.Flask, **more: Any) -> None:
    """Instrument an app that has served already."""
    app._got_first_request = False
    FlaskInstrumentor.instrument_app(app, **more)


def test_a_span_of_our_own_where_nothing_else_makes_one(
    app: flask.Flask, telemetry: Telemetry
) -> None:
    EveryLayer(app)
    seen = []

    def work() -> str:
        seen.append(baggage.get_baggage("tenant"))
        with trace.get_tracer("shop").start_as_current_span("work"):
            return "done"

    app.add_url_rule("/work", "work", work)
    serve(app, "/work", headers=(*HEADERS, ("Baggage", "tenant=acme")))
    server = server_span(telemetry.spans)
    assert f"{server.get_span_context().trace_id:032x}" == TRACE_ID
    assert (server.attributes or {})["http.status_code"] == 200
    (work_span,) = [span for span in telemetry.spans if span.name == "work"]
    assert parent_of(work_span, telemetry.spans) is server
    assert seen == ["acme"]
    assert not trace.get_current_span().get_span_context().is_valid


def test_it_is_named_after_the_route(app: flask.Flask, telemetry: Telemetry) -> None:
    EveryLayer(app)
    serve(app, "/item/7")
    server = server_span(telemetry.spans)
    assert server.name == "GET /item/<int:item>"
    assert (server.attributes or {})["http.route"] == "/item/<int:item>"


def test_a_healthy_request_is_named_after_the_route_too(
    app: flask.Flask, telemetry: Telemetry
) -> None:
    EveryLayer(app)
    app.add_url_rule("/fine/<int:item>", "fine", lambda item: "fine")
    serve(app, "/fine/7")
    assert server_span(telemetry.spans).name == "GET /fine/<int:item>"


def test_no_span_of_our_own_if_not_wanted(app: flask.Flask, telemetry: Telemetry) -> None:
    EveryLayer(app, server_span=False)
    serve(app, "/item/7")
    assert telemetry.spans == ()


def test_no_second_span_within_one(app: flask.Flask, telemetry: Telemetry) -> None:
    EveryLayer(app)
    serve(OpenTelemetryMiddleware(app), "/item/7")
    check(telemetry.spans, PLAIN, ESCAPED)
    telemetry.clear()
    app.wsgi_app = OpenTelemetryMiddleware(app.wsgi_app)
    serve(app, "/item/7")
    check(telemetry.spans, PLAIN, ESCAPED)


def test_an_excluded_url_has_no_span(
    app: flask.Flask, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_PYTHON_FLASK_EXCLUDED_URLS", "item")
    stock.excluded_urls.cache_clear()
    try:
        EveryLayer(app)
        serve(app, "/item/7")
        assert telemetry.spans == ()
        add_stock(app, excluded_urls="item")
        serve(app, "/item/7")
        assert telemetry.spans == ()
        serve(app, "/")
        assert len(telemetry.spans) == 1
    finally:
        stock.excluded_urls.cache_clear()


def test_a_response_that_nobody_reads_shows_its_span(
    app: flask.Flask, telemetry: Telemetry
) -> None:
    EveryLayer(app)
    for prepare in (lambda: None, lambda: add_stock(app)):
        prepare()
        telemetry.clear()
        app(drive.environ("/item/7"), lambda *args: None)
        check(telemetry.spans, PLAIN, ESCAPED)


def test_the_test_client_sees_spans_without_closing(app: flask.Flask, telemetry: Telemetry) -> None:
    EveryLayer(app)
    client = app.test_client()
    client.get("/item/7")
    check(telemetry.spans, PLAIN, ESCAPED)
    telemetry.clear()
    with client:
        client.get("/item/7")
    check(telemetry.spans, PLAIN, ESCAPED)


def test_a_kept_context_that_fails_when_it_goes(app: flask.Flask, telemetry: Telemetry) -> None:
    EveryLayer(app)
    FlaskInstrumentor.instrument_app(app)
    app.teardown_request(lambda error: fault_site(PLAIN))
    with pytest.raises(ValueError, match="plain fault"), app.test_client() as client:
        client.get("/")
    assert len(error_events(telemetry.spans)) == 1
    assert not trace.get_current_span().get_span_context().is_valid


def test_files_go_out_as_they_are(app: flask.Flask, telemetry: Telemetry) -> None:
    class Sendfile:
        def __init__(self, file: Any, size: int = 1024) -> None:
            self.file = file

        def __iter__(self) -> Iterator[bytes]:
            return iter(lambda: self.file.read(100), b"")

    EveryLayer(app)
    app.add_url_rule("/file", "file", lambda: flask.send_file(__file__))
    for _ in range(2):
        telemetry.clear()
        environ = drive.environ("/file")
        environ["wsgi.file_wrapper"] = Sendfile
        body = app(environ, lambda *args: None)
        assert type(body) is Sendfile
        assert len(telemetry.spans) == 1
        add_stock(app)


def test_a_body_keeps_its_ways(app: flask.Flask, telemetry: Telemetry) -> None:
    class Pages(tuple[bytes, ...]):
        closed = 0
        title = "pages"

    class Sized:
        title = "sized"

        def __len__(self) -> int:
            return 1

        def __iter__(self) -> Iterator[bytes]:
            return iter([b"one"])

    def served(body: Any) -> Any:
        def layer(environ: Any, start_response: Any) -> Any:
            start_response("200 OK", [])
            return body

        return EveryLayerMiddleware(layer)(drive.environ(), lambda *args: None)

    pages = Pages([b"one"])
    assert served(pages) is pages
    assert served(None) is None
    sized = served(Sized())
    assert (len(sized), list(sized), sized.title) == (1, [b"one"], "sized")
    sized.close()
    lazy = served(iter([b"one", b"two"]))
    assert not hasattr(lazy, "__len__")
    assert next(lazy) == b"one"
    assert list(lazy) == [b"two"]
    with pytest.raises(AttributeError):
        _ = lazy.title


def test_a_body_that_is_dropped_settles_its_request(app: flask.Flask, telemetry: Telemetry) -> None:
    EveryLayer(app)

    def layer(environ: Any, start_response: Any) -> Iterable[bytes]:
        yield from inner(environ, start_response)

    inner = app.wsgi_app
    app.wsgi_app = layer
    body = app(drive.environ("/item/7"), lambda *args: None)
    assert next(iter(body)).startswith(b"<!doctype")
    del body
    assert aftermath.settle()
    check(telemetry.spans, PLAIN, ESCAPED)


def test_write_and_start_response_by_keyword(app: flask.Flask, telemetry: Telemetry) -> None:
    written: list[bytes] = []

    def layer(environ: Any, start_response: Any) -> Any:
        write = start_response(status="200 OK", headers=[], exc_info=None)
        write(b"written")
        return []

    app.wsgi_app = layer
    EveryLayer(app)

    def start_response(status: str, headers: Any) -> Any:
        return written.append

    app(drive.environ(), start_response)
    assert written == [b"written"]


def test_an_odd_status_is_the_servers_to_refuse(app: flask.Flask, telemetry: Telemetry) -> None:
    for status in (b"200 OK", 200, "nonsense", "5", None):
        app.wsgi_app = lambda environ, start_response, status=status: (  # type: ignore[assignment,misc]
            start_response(status, []) or []
        )
        EveryLayer(app)
        seen: list[Any] = []
        app(drive.environ(), lambda status, headers, seen=seen: seen.append(status))
        assert seen == [status]


def test_a_server_that_refuses_the_response(app: flask.Flask, telemetry: Telemetry) -> None:
    def refuse(status: str, headers: Any) -> Any:
        fault_site(PLAIN)

    EveryLayer(app)
    with pytest.raises(ValueError, match="plain fault"):
        app(drive.environ(), refuse)
    check(telemetry.spans, PLAIN, ESCAPED)


def test_an_app_that_answers_for_another_is_not_to_blame(
    app: flask.Flask, telemetry: Telemetry
) -> None:
    """The 503 is the app's own; the error that its caller deals with is none of this request."""
    EveryLayer(app)
    app.add_url_rule("/later", "later", lambda: ("later", 503))
    app.wsgi_app = Through(app.wsgi_app)
    try:
        raise LookupError("of the caller")
    except LookupError:
        serve(app, "/later")
    assert error_events(telemetry.spans) == []


def test_a_layer_that_answers_503_by_itself(app: flask.Flask, telemetry: Telemetry) -> None:
    class Opaque:
        """Holds its app where nobody finds it."""

        def __init__(self, inner: Any) -> None:
            self.kept = [inner]

        def __call__(self, environ: Any, start_response: Any) -> Any:
            return self.kept[0](environ, start_response)

    def failing(environ: Any, start_response: Any) -> Any:
        fault_site(PLAIN)

    app.wsgi_app = Recovers(Opaque(failing), "503 SERVICE UNAVAILABLE")
    EveryLayer(app)
    assert serve(app).status == 503
    check(telemetry.spans, PLAIN, ESCAPED)


def test_a_mounted_app(app: flask.Flask, telemetry: Telemetry) -> None:
    inner = flask.Flask("inner")
    inner.before_request(lambda: fault_site(PLAIN))
    EveryLayer(inner)
    EveryLayer(app)
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/inner": RecoversLater(inner, "200 OK")})
    assert serve(app, "/inner/").status == 500
    check(telemetry.spans, PLAIN, ESCAPED)
    (event,) = error_events(telemetry.spans)
    assert (event.event.attributes or {})["everylayer.layer.kind"] == "hook"


def test_a_mounted_app_that_raises(app: flask.Flask, telemetry: Telemetry) -> None:
    inner = flask.Flask("inner")
    inner.testing = True
    inner.before_request(lambda: fault_site(PLAIN))
    EveryLayer(inner)
    EveryLayer(app)
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/inner": RecoversLater(inner, "200 OK")})
    assert serve(app, "/inner/").status == 200
    check(telemetry.spans, PLAIN, HANDLED)


def test_an_environ_used_twice(app: flask.Flask, telemetry: Telemetry) -> None:
    EveryLayer(app)
    environ = drive.environ("/item/7")
    for _ in range(2):
        telemetry.clear()
        drive.run_wsgi(app, environ)
        check(telemetry.spans, PLAIN, ESCAPED)
    assert not [key for key in environ if key.startswith("everylayer")]


def test_requests_at_once_do_not_mix(app: flask.Flask, telemetry: Telemetry) -> None:
    EveryLayer(app)
    FlaskInstrumentor.instrument_app(app)
    together = threading.Barrier(8)

    def failing(number: int) -> None:
        together.wait()
        raise LookupError(f"tenant {number}")

    app.add_url_rule("/fail/<int:number>", "fail", failing)
    threads = [threading.Thread(target=serve, args=(app, f"/fail/{n}")) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spans = server_spans(telemetry.spans)
    assert len(spans) == 8
    for span in spans:
        (event,) = error_events([span])
        number = str((span.attributes or {})["http.url"]).rpartition("/")[2]
        assert (event.event.attributes or {})["exception.message"] == f"tenant {number}"


def test_a_context_without_a_request(app: flask.Flask, telemetry: Telemetry) -> None:
    EveryLayer(app)
    app.teardown_request(lambda error: fault_site(PLAIN))
    with (
        pytest.raises(ValueError, match="plain fault"),
        trace.get_tracer("job").start_as_current_span("job", record_exception=False),
        app.test_request_context(),
    ):
        pass
    (job,) = telemetry.spans
    assert len(error_events([job])) == 1


def test_a_stream_that_fails_as_its_client_leaves(app: flask.Flask, telemetry: Telemetry) -> None:
    EveryLayer(app)

    def rows() -> Iterator[bytes]:
        try:
            yield b"one"
            yield b"two"
        finally:
            fault_site(PLAIN)

    app.add_url_rule("/rows", "rows", lambda: flask.Response(rows()))
    body: Any = app(drive.environ("/rows"), lambda *_: None)
    assert next(body) == b"one"
    with pytest.raises(ValueError, match="plain fault"):
        body.close()
    assert aftermath.settle()
    check(telemetry.spans, PLAIN, ESCAPED)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_teardown_that_fails_in_a_copy_of_the_context(
    app: flask.Flask, telemetry: Telemetry
) -> None:
    """The request goes on without that copy: its span and its context are not to be left."""
    EveryLayer(app)
    FlaskInstrumentor.instrument_app(app)
    main = threading.current_thread()

    @app.teardown_request
    def release(error: BaseException | None) -> None:
        if threading.current_thread() is not main:
            fault_site(PLAIN)

    def hands_on() -> str:
        copied = threading.Thread(target=flask.copy_current_request_context(lambda: None))
        copied.start()
        copied.join()
        assert trace.get_current_span().is_recording()
        return "done"

    app.add_url_rule("/hands-on", "hands_on", hands_on)
    assert serve(app, "/hands-on").status == 200
    assert (server_span(telemetry.spans).attributes or {})["http.status_code"] == 200
    assert trace.get_current_span() is trace.INVALID_SPAN


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("layered", [True, False], ids=["layers", "none"])
def test_what_a_thread_with_a_copy_of_the_context_raises_is_the_threads(
    layered: bool, app: flask.Flask, telemetry: Telemetry
) -> None:
    """It is told of where the setting or a helper asks for it, whatever stands around the app."""
    if layered:
        app.wsgi_app = Through(app.wsgi_app)
    EveryLayer(app)
    FlaskInstrumentor.instrument_app(app)

    def hands_on(plain: bool) -> str:
        work = flask.copy_current_request_context(lambda: fault_site(PLAIN))
        handed = threading.Thread(target=work if plain else everylayer.propagate(work))
        handed.start()
        handed.join()
        return "done"

    app.add_url_rule("/plain", "plain", lambda: hands_on(plain=True))
    app.add_url_rule("/handed-on", "handed_on", lambda: hands_on(plain=False))
    assert serve(app, "/plain").status == 200
    check(telemetry.spans, PLAIN, NOTHING)
    telemetry.clear()
    assert serve(app, "/handed-on").status == 200
    (event,) = error_events(telemetry.spans)
    assert (event.event.attributes or {})["everylayer.layer.phase"] == "propagated"


def test_what_a_job_raises_in_a_context_of_its_own_is_no_streams(
    app: flask.Flask, telemetry: Telemetry
) -> None:
    EveryLayer(app)
    with (
        pytest.raises(ValueError, match="plain fault"),
        trace.get_tracer("job").start_as_current_span("job"),
        app.test_request_context("/"),
    ):
        fault_site(PLAIN)
    (event,) = error_events(telemetry.spans)
    assert (event.event.attributes or {})["everylayer.layer.phase"] == "call"


def test_teardown_that_is_told_of_an_error_of_somebody_else(
    app: flask.Flask, telemetry: Telemetry
) -> None:
    """An app called while its caller deals with an error: that error is not the request's."""
    EveryLayer(app)
    FlaskInstrumentor.instrument_app(app)
    try:
        raise LookupError("of the caller")
    except LookupError:
        serve(app)
    check(telemetry.spans, PLAIN, NOTHING)


def test_stream_errors_after_the_client_left(app: flask.Flask, telemetry: Telemetry) -> None:
    cleanup = Fault("cleanup", lambda: ValueError("plain fault"), ValueError, "plain fault")

    def parts() -> Iterator[str]:
        try:
            yield "one"
            yield "two"
        finally:
            fault_site(cleanup)

    app.add_url_rule("/parts", "parts", parts)
    EveryLayer(app)
    FlaskInstrumentor.instrument_app(app)
    body = app(drive.environ("/parts"), lambda *args: None)
    assert next(iter(body)) == b"one"
    with pytest.raises(ValueError, match="plain fault"):
        body.close()  # type: ignore[attr-defined]
    assert aftermath.settle()
    check(telemetry.spans, cleanup, LATE)


@pytest.mark.parametrize("stock", [True, False], ids=["stock", "alone"])
def test_the_outer_response_judges_what_failed_in_the_inner_request(
    stock: bool, app: flask.Flask, telemetry: Telemetry
) -> None:
    app.add_url_rule("/all", "all", lambda: app.test_client().get("/item/7").status)
    if stock:
        FlaskInstrumentor.instrument_app(app)
    EveryLayer(app)
    assert serve(app, "/all").body.startswith(b"500")
    assert server_span(telemetry.spans).status.status_code is trace.StatusCode.UNSET
    check(server_spans(telemetry.spans), PLAIN, HANDLED)


@pytest.mark.parametrize("stock", [True, False], ids=["stock", "alone"])
def test_what_a_view_records_by_itself_follows_the_settings_of_its_app(
    stock: bool, app: flask.Flask, telemetry: Telemetry
) -> None:
    def noting() -> str:
        everylayer.record(ValueError("no customer C-4711"), handled=True)
        return "noted"

    app.add_url_rule("/noting", "noting", noting)
    if stock:
        FlaskInstrumentor.instrument_app(app)
    EveryLayer(app, redaction=everylayer.Redaction(patterns={"customer": r"C-\d+"}))
    serve(app, "/noting")
    (event,) = error_events(telemetry.spans)
    assert "4711" not in str(event.event.attributes)
