"""docs/conventions.md names all that is written and nothing else: by the source, and by a run."""

from __future__ import annotations

import ast
import contextlib
import functools
import re
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import httpx
import pytest
import sentry_sdk
from flask import Flask
from opentelemetry import trace
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware as StockASGI
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware as StockWSGI
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import everylayer
import everylayer_grpc
from contract.drive import environ, run_asgi, run_wsgi, scope
from contract.telemetry import Telemetry, error_events, session
from everylayer import settings, signals
from everylayer.boundaries import error_context
from everylayer.clients import httpx as everylayer_httpx
from everylayer.sinks import instruments
from everylayer.sinks.sentry import switch
from everylayer_flask import EveryLayer
from everylayer_starlette import EveryLayerMiddleware
from pages import ROOT, names, rows, section, text_of

PAGE = text_of("conventions.md")
EVENT = section(PAGE, "Exception event").partition("### ")[0]
SPANS = section(PAGE, "Spans")
BEGUN = section(PAGE, "Of requests whose span everylayer begins or names")
LINKS = section(PAGE, "Links")
LEVELS = ("Stable", "Development", "Release candidate", "Deprecated by semconv, what stock writes")

# Look like attributes and are none, each with what it is.
INTERNAL = {
    "everylayer.failsafe": "module",
    "everylayer.flask": "logger",
    "everylayer.faults": "name of a tool of sys.monitoring",
    "everylayer.identities": "key of what a function of `trusted_peers` is given",
    "everylayer.ledger": "key of the WSGI environ",
    "everylayer.monitor": "name of a tool of sys.monitoring",
    "everylayer.redaction": "place of a failure",
    "everylayer.request": "key of the WSGI environ",
    "everylayer.upstream": "what several names begin with",
    "everylayer.tenant": "context variable, key of the scope",
    "http.response.body": "ASGI message",
    "http.response.start": "ASGI message",
    "http.response.status_code": "read of stock's spans",
    "rpc.system.name": "read of stock's spans",
}
_NAME = re.compile(
    r"(?:everylayer|app|exception|code|error|rpc|messaging|sentry|otel|http|network)(?:\.[a-z_]+)+"
)
_HEADER = re.compile(r"x-[a-z-]+|ot-[a-z-]+|everylayer-[a-z]+-bin|traceparent|tracestate|baggage")
# Parts that are tools of the developer: what they write is no telemetry of an app.
_TOOLS = ("audit", "testing", "chaos")


@functools.cache
def constants() -> frozenset[str]:
    """Return all strings in the packages' code."""
    return frozenset(read_constants())


def read_constants() -> Iterator[str]:
    for path in sorted(ROOT.glob("packages/*/src/everylayer*/**/*.py")):
        if set(_TOOLS) & set(path.parts):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def in_source(pattern: re.Pattern[str]) -> set[str]:
    return {text for text in constants() if pattern.fullmatch(text)}


# What is written, by running it


class Broken(Exception):
    """What the corpus raises."""


def fail(token: str = "") -> None:
    try:
        raise KeyError(token)
    except KeyError as exc:
        raise Broken(f"no use {token}") from exc


UPSTREAM = error_context.render(
    error_context.ErrorContext(
        (
            error_context.Hop("shop.NoStock", "order", "orders", "4b" * 16, "0f" * 8, 2, "none"),
            error_context.Hop("stock.Locked", "lock", "stock", "4c" * 16, "1f" * 8, 3, "row 7"),
        )
    )
)


def flask_app() -> Flask:
    """Fail with all that an error can have: a cause, another service's error, a tenant."""
    app = Flask("conventions")
    client = everylayer_httpx.attach(
        httpx.Client(
            transport=httpx.MockTransport(
                lambda _: httpx.Response(503, headers={"x-error-context": UPSTREAM})
            )
        )
    )

    @app.get("/orders/<number>")
    def order(number: str) -> str:
        for attempt in range(3):
            everylayer.record(Broken(f"try {attempt}"), layer="retry", handled=True)
        client.get("http://stock/").raise_for_status()
        return number

    EveryLayer(app)
    return app


RULES: dict[str, Any] = {
    "error_context": "send",
    "local_variables": True,
    "max_events": 2,
    "sentry": "capture",
    "sentry_url": "https://sentry.example/?query={event_id}",
    "tenant": "header",
}
SAID = [
    ("x-tenant-id", "acme"),
    ("x-request-id", "7f9c2ba4-e88f"),
    ("x-envoy-attempt-count", "2"),
]


def run_flask(stock: bool) -> None:
    everylayer.configure(**RULES)
    app = flask_app()
    if stock:
        FlaskInstrumentor().instrument_app(app)  # type: ignore[no-untyped-call]
    try:
        with sentry_sdk.new_scope():
            run_wsgi(app, environ("/orders/7", SAID))
    finally:
        if stock:
            FlaskInstrumentor().uninstrument_app(app)  # type: ignore[no-untyped-call]


def run_starlette() -> None:
    async def order(request: Request) -> PlainTextResponse:
        return PlainTextResponse("ok", background=BackgroundTask(fail))

    class Auth:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            if scope["path"] == "/refused":
                fail()
            await self.app(scope, receive, send)

    app = Starlette(routes=[Route("/orders/{number}", order)])
    app.add_middleware(Auth)
    app.add_middleware(EveryLayerMiddleware)
    run_asgi(app, scope("/orders/7"))
    run_asgi(app, scope("/refused"))


def run_lifespan() -> None:
    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> Any:
        fail()
        yield

    app = Starlette(lifespan=lifespan)
    app.add_middleware(EveryLayerMiddleware)
    run_asgi(app, {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}})


def run_remote() -> None:
    with trace.get_tracer("app").start_as_current_span("sender"):
        try:
            fail()
        except Broken as exc:
            sent = everylayer.error_to_json(exc, layer="billing")
    everylayer.record_remote(everylayer.error_from_json(sent), handled=False)


def run_grpc(folder: Path) -> None:
    def act(_: bytes, context: Any) -> bytes:
        fail()
        return b""

    def count(_: bytes, context: Any) -> Iterator[bytes]:
        yield from (b"1", b"2")

    handlers: dict[str, Any] = {
        "Order": grpc.unary_unary_rpc_method_handler(act),
        "Count": grpc.unary_stream_rpc_method_handler(count),
    }
    server = grpc.server(
        futures.ThreadPoolExecutor(2), interceptors=[everylayer_grpc.server_interceptor()]
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.Shop", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.add_insecure_port(f"unix:{folder}/s")
    server.start()
    try:
        for target in (f"127.0.0.1:{port}", f"unix:{folder}/s"):
            with grpc.insecure_channel(target) as channel:
                watched: Any = grpc.intercept_channel(
                    channel, *everylayer_grpc.client_interceptors()
                )
                with contextlib.suppress(grpc.RpcError):
                    watched.unary_unary("/shop.Shop/Order")(b"")
                list(watched.unary_stream("/shop.Shop/Count")(b""))
    finally:
        server.stop(None).wait()


class Nowhere(sentry_sdk.transport.Transport):
    """Takes Sentry's events and drops them."""

    def capture_envelope(self, envelope: Any) -> None:
        pass


# Its integrations would patch the process for good.
BARE: dict[str, Any] = {"default_integrations": False, "auto_enabling_integrations": False}


class Written(NamedTuple):
    """What a run of the corpus has exported, and the attributes that stock alone collects."""

    spans: tuple[ReadableSpan, ...]
    logs: tuple[Any, ...]
    of_stock: set[str]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Written]:
    patch = pytest.MonkeyPatch()
    settings.reset()
    with session() as telemetry, sentry_sdk.isolation_scope():
        of_stock = stock_alone(telemetry)
        sentry_sdk.init(dsn="http://key@127.0.0.1:9/1", transport=Nowhere, **BARE)
        try:
            run_flask(stock=True)
            run_flask(stock=False)
            settings.reset()
            patch.setenv("OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN", "logs/dup")
            signals._signals_of_the_process.cache_clear()
            run_starlette()
            run_lifespan()
            run_remote()
            run_grpc(tmp_path_factory.mktemp("grpc"))
            # The last ones end in the server's threads.
            telemetry.wait(lambda spans: sum(s.kind is SpanKind.SERVER for s in spans) >= 8)
            yield Written(telemetry.spans, telemetry.logs, of_stock)
        finally:
            patch.undo()
            signals._signals_of_the_process.cache_clear()
            sentry_sdk.get_global_scope().set_client(None)
            switch.detach()
            settings.reset()


def stock_alone(telemetry: Telemetry) -> set[str]:
    """Return the attributes that stock gives to the same request."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("500 Oops", [])
        return [b""]

    run_wsgi(StockWSGI(app), environ("/orders/7", SAID))
    run_asgi(StockASGI(PlainTextResponse("ok")), scope("/orders/7"))
    found = {key for span in telemetry.spans for key in span.attributes or {}}
    telemetry.clear()
    return found


def keys(spans: tuple[ReadableSpan, ...]) -> set[str]:
    return {key for span in spans for key in span.attributes or {}}


def test_exception_events_have_what_the_page_says_and_nothing_else(written: Written) -> None:
    found = {key for one in error_events(written.spans) for key in one.event.attributes or {}}
    assert found == set(names(EVENT))


def test_what_is_required_is_on_every_event(written: Written) -> None:
    required = {row[0].strip("`") for row in rows(EVENT) if row[2].startswith("Required")}
    assert len(required) == 6
    for one in error_events(written.spans):
        assert required <= set(one.event.attributes or {})


def test_types_are_those_of_the_page(written: Written) -> None:
    said = {row[0].strip("`"): row[1] for row in rows(EVENT)}
    for one in error_events(written.spans):
        for key, value in (one.event.attributes or {}).items():
            assert type_of(value) == said[key], key


def type_of(value: object) -> str:
    if isinstance(value, tuple):
        return "string[]"
    return {str: "string", bool: "boolean", int: "int"}[type(value)]


def test_spans_have_nothing_that_the_page_lacks(written: Written) -> None:
    listed = set(names(SPANS.partition("### ")[0])) | set(names(BEGUN))
    own = tuple(s for s in written.spans if s.instrumentation_scope.name == "everylayer")  # type: ignore[union-attr]
    assert keys(own) - written.of_stock <= listed
    begins = ("everylayer.", "app.", "sentry.", "error.", "code.", "exception.")
    assert {key for key in keys(written.spans) if key.startswith(begins)} <= listed


def test_all_that_the_page_lists_for_spans_is_written(written: Written) -> None:
    listed = set(names(SPANS.partition("### ")[0].partition("| attribute")[2])) | set(names(BEGUN))
    # Celery's are written in its worker: tests/boundaries/test_processes_celery.py.
    worker = {"everylayer.task.attempt", "messaging.message.id"}
    told = {name for row in rows(BEGUN) for name in re.findall(r"`([\w.]+)`", row[0])}
    assert told <= keys(written.spans)
    assert {name for name in listed if name in in_source(_NAME)} - worker <= keys(written.spans)


def test_links_have_what_the_page_says(written: Written) -> None:
    found = {key for s in written.spans for link in s.links for key in link.attributes or {}}
    assert found == set(names(LINKS))


def test_spans_that_everylayer_begins_are_named_as_the_page_says(written: Written) -> None:
    patterns = {"(late)", "(received)", "lifespan", "GET /", "/shop.Shop/"}
    own = [s.name for s in written.spans if s.instrumentation_scope.name == "everylayer"]  # type: ignore[union-attr]
    for pattern in patterns:
        assert any(pattern in name for name in own), (pattern, own)
    assert all(any(p in name for p in patterns) for name in own), own


def test_log_events_are_those_of_the_page(written: Written) -> None:
    said = set(names(section(PAGE, "Log events")))
    assert {log.log_record.event_name for log in written.logs} == said
    of_remote = {"everylayer.remote", "everylayer.origin.trace_id", "everylayer.origin.span_id"}
    found = {key for log in written.logs for key in log.log_record.attributes}
    assert found <= set(names(EVENT)) - of_remote
    assert {log.instrumentation_scope.name for log in written.logs} == {"everylayer"}


def test_layers_are_of_a_kind_that_is_explained(written: Written) -> None:
    said = set(names(section(PAGE, "Kinds of layers")))
    events = [one.event.attributes or {} for one in error_events(written.spans)]
    assert {event["everylayer.layer.kind"] for event in events} <= said
    documented = re.findall(r"`(\w+)`", everylayer.layers.Layer.__doc__ or "")
    assert said == set(documented)


# And by the source


def test_each_name_in_the_code_is_on_the_page() -> None:
    page = set(re.findall(r"`([\w.]+)`", PAGE))
    missing = in_source(_NAME) - page - INTERNAL.keys()
    assert not missing, f"docs/conventions.md lacks {sorted(missing)}"


def test_each_name_on_the_page_is_in_the_code(written: Written) -> None:
    page = {name for name in names(PAGE) if _NAME.fullmatch(name) and ".example" not in name}
    # Those of another service's error are put together.
    events = {key for one in error_events(written.spans) for key in one.event.attributes or {}}
    stale = page - in_source(_NAME) - events
    assert not stale, f"docs/conventions.md still names {sorted(stale)}"


def test_what_is_left_out_as_no_telemetry_is_still_there() -> None:
    assert INTERNAL.keys() - in_source(_NAME) == set()


def test_metrics_are_those_of_the_code() -> None:
    said = [
        (row[0].strip("`"), row[1], row[2].strip("`"), tuple(re.findall(r"`([^`]+)`", row[3])))
        for row in rows(section(PAGE, "Metrics"))
    ]
    assert said == [(m.name, m.kind, m.unit, m.attributes) for m in instruments.ALL]


def test_headers_are_those_of_the_code() -> None:
    table = section(PAGE, "Headers and metadata").partition("### ")[0]
    said = set(names(table)) - {"everylayer_tenant"}
    assert said == in_source(_HEADER)
    assert "everylayer_tenant" in in_source(re.compile(r"everylayer_\w+"))


def test_fields_of_the_error_context_are_those_that_it_has() -> None:
    context = error_context.parse(UPSTREAM)
    assert context is not None
    value = error_context.render(context._replace(more=2))
    fields = {pair.partition("=")[0] for pair in re.split("[;,]", value)}
    assert fields == set(names(section(PAGE, "Error context")))


def test_log_fields_are_those_of_the_filter() -> None:
    import logging

    record = logging.LogRecord("shop", logging.ERROR, "shop.py", 1, "no", None, None)
    before = set(vars(record))
    everylayer.TraceFilter().filter(record)
    assert set(vars(record)) - before == set(names(section(PAGE, "Log fields")))


def test_each_row_says_its_state() -> None:
    for part in (EVENT, BEGUN, LINKS, section(PAGE, "Metrics")):
        assert {row[-1] for row in rows(part)} <= set(LEVELS) | {LEVELS[-1] + " by default"}
