"""The line: whenever it comes, however often, with what settings; and how it is taken back."""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web, web_app, web_protocol
from opentelemetry.instrumentation import aiohttp_server
from opentelemetry.instrumentation.aiohttp_server import AioHttpServerInstrumentor

import everylayer_aiohttp
from aiohttp_cases import PASSING, answer, app_of, failing, fine, layer
from aiohttp_kit import Application, Handler, Kit, ask, run, served
from contract.actions import RAISE_BEFORE, SWALLOW
from contract.collect import collect
from contract.expect import ESCAPED, HANDLED, NOTHING, check
from contract.faults import PLAIN
from contract.responses import differences
from contract.telemetry import Telemetry, error_events, server_span, server_spans, tree
from everylayer import SettingsError, own_failures
from everylayer_aiohttp import patches
from everylayer_aiohttp.instrumentor import EveryLayerAiohttpInstrumentor

OURS = Kit(stock=False)


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """No test leaves a patch behind."""
    failures = dict(own_failures())
    yield
    patches.undo()
    assert dict(own_failures()) == failures


@pytest.fixture
def instrumentor() -> Iterator[EveryLayerAiohttpInstrumentor]:
    made = EveryLayerAiohttpInstrumentor()
    yield made
    if made.is_instrumented_by_opentelemetry:
        made.uninstrument()


def layers_of(telemetry: Telemetry) -> list[tuple[Any, Any]]:
    found = [found.event.attributes or {} for found in error_events(telemetry.spans)]
    return [(a.get("everylayer.layer.name"), a.get("everylayer.layer.index")) for a in found]


def test_an_app_without_middlewares(telemetry: Telemetry) -> None:
    def build(kit: Kit) -> web.Application:
        app = kit.app()
        app.router.add_get("/", failing(PLAIN))
        return app

    bare = run(build(Kit(stock=False, ours=False)))
    found = differences(bare, run(build(OURS)))
    # aiohttp itself takes one frame more as soon as there is any middleware.
    assert all(line.startswith("raised ValueError('plain fault')") for line in found)
    check(telemetry.spans, PLAIN, ESCAPED)


@pytest.mark.parametrize("stock", [False, True])
def test_layers_are_numbered_from_the_outside(stock: bool, telemetry: Telemetry) -> None:
    raising = layer(RAISE_BEFORE, PLAIN)
    kit = Kit(stock=stock)
    with kit.active():
        app = kit.app(PASSING, PASSING, raising)
        sub = Application(middlewares=[PASSING, raising])
        app.router.add_get("/", fine)
        app.add_subapp("/sub", sub)
        run(app)
    assert layers_of(telemetry) == [("layer.acting", 2)]


def test_the_line_may_come_twice_and_the_last_settings_count(telemetry: Telemetry) -> None:
    app = OURS.app(PASSING)
    everylayer_aiohttp.setup(app, ignored=("ValueError",))
    app.router.add_get("/", failing(PLAIN))
    run(app)
    assert not error_events(telemetry.spans)
    assert len(app.middlewares) == 2


def test_a_sub_app_alone(telemetry: Telemetry) -> None:
    app, sub = web.Application(middlewares=[PASSING]), web.Application(middlewares=[PASSING])
    everylayer_aiohttp.setup(sub)
    sub.router.add_get("/", failing(PLAIN))
    app.router.add_get("/", failing(PLAIN))
    app.add_subapp("/sub", sub)
    run(app, "/sub/")
    check(telemetry.spans, PLAIN, ESCAPED)
    telemetry.clear()
    run(app, "/")
    assert not telemetry.spans


def test_a_sub_app_within_an_app_both_with_the_line(telemetry: Telemetry) -> None:
    app, sub = OURS.app(layer(SWALLOW, PLAIN)), OURS.app(PASSING)
    sub.router.add_get("/", failing(PLAIN))
    app.add_subapp("/sub", sub)
    run(app, "/sub/")
    check(telemetry.spans, PLAIN, HANDLED)


def test_stock_in_a_sub_app_too_makes_a_span_of_its_own(telemetry: Telemetry) -> None:
    """Another trace, even, and what it records there is stock's; the request's own has it once."""
    kit = Kit(stock=True)
    with kit.active():
        app, sub = kit.app(PASSING), web.Application(middlewares=[PASSING])
        sub.router.add_get("/", failing(PLAIN))
        app.add_subapp("/sub", sub)
        run(app, "/sub/")
    inner, outer = server_spans(telemetry.spans)
    assert inner.context.trace_id != outer.context.trace_id
    check([outer], PLAIN, ESCAPED)


def stock_middleware() -> Any:
    """One of its own, or before it made them the one that there is."""
    make = getattr(aiohttp_server, "create_aiohttp_middleware", None)
    return make() if make else aiohttp_server.middleware


@pytest.mark.parametrize("place", [0, 1, 2])
def test_stock_anywhere_in_the_chain(place: int, telemetry: Telemetry) -> None:
    """As a middleware that the app adds by itself; a layer outside of it raises too late for it."""
    kit = Kit(stock=True)
    with kit.active():
        AioHttpServerInstrumentor().uninstrument()
        chain = [layer(SWALLOW, PLAIN), PASSING]
        chain.insert(place, stock_middleware())
        app = kit.app(*chain)
        app.router.add_get("/", failing(PLAIN))
        run(app)
        AioHttpServerInstrumentor().instrument()
    check(telemetry.spans, PLAIN, HANDLED)


@pytest.mark.parametrize("order", ["ours first", "stock first"])
def test_no_code(
    order: str, instrumentor: EveryLayerAiohttpInstrumentor, telemetry: Telemetry
) -> None:
    stock = AioHttpServerInstrumentor()
    both = [instrumentor, stock] if order == "ours first" else [stock, instrumentor]
    for each in both:
        each.instrument()
    try:
        app = web.Application(middlewares=[layer(SWALLOW, PLAIN)])
        app.router.add_get("/", failing(PLAIN))
        run(app)
    finally:
        stock.uninstrument()
    check(telemetry.spans, PLAIN, HANDLED)


def test_no_trace_is_left(
    instrumentor: EveryLayerAiohttpInstrumentor, telemetry: Telemetry
) -> None:
    # Apps with a line of their own keep the patches; aiohttp's cache has those of other tests.
    web_app._cached_build_middleware.cache_clear()
    collect()
    before = [web.Application.__init__, vars(web_protocol.RequestHandler).copy()]
    instrumentor.instrument()
    app = app_of(Kit(stock=False, ours=False), failing(PLAIN))

    async def main() -> None:
        async with served(app) as port:
            await ask(port)
            instrumentor.uninstrument()
            telemetry.clear()
            await ask(port)

    asyncio.run(main())
    assert not telemetry.spans
    assert [web.Application.__init__, vars(web_protocol.RequestHandler).copy()] == before
    assert not web.Application().middlewares


def test_an_app_with_the_line_keeps_it(
    instrumentor: EveryLayerAiohttpInstrumentor, telemetry: Telemetry
) -> None:
    instrumentor.instrument(max_events=1)
    app = app_of(OURS, failing(PLAIN))
    instrumentor.uninstrument()
    run(app)
    check(telemetry.spans, PLAIN, ESCAPED)


@pytest.mark.parametrize("settings", [{"max_event": 1}, {"max_events": "many"}, {"tenant": "x"}])
def test_a_setting_that_cannot_be_used_is_named_at_once(settings: dict[str, Any]) -> None:
    app = web.Application()
    with pytest.raises(SettingsError, match=next(iter(settings))):
        everylayer_aiohttp.setup(app, **settings)


def test_too_late() -> None:
    async def main() -> None:
        app = web.Application()
        async with served(app):
            everylayer_aiohttp.setup(app)

    with pytest.raises(RuntimeError):
        asyncio.run(main())


def test_switched_off(telemetry: Telemetry) -> None:
    app = app_of(Kit(stock=False, ours=False), failing(PLAIN))
    everylayer_aiohttp.setup(app, enabled=False)
    run(app)
    assert not telemetry.spans


def test_no_server_span_where_none_is_wanted(telemetry: Telemetry) -> None:
    app = app_of(Kit(stock=False, ours=False), failing(PLAIN))
    everylayer_aiohttp.setup(app, server_span=False)
    run(app)
    assert not telemetry.spans


@pytest.mark.parametrize(
    ("client_errors", "by_view", "by_layer", "by_routing"),
    [("layers", 0, 1, 0), ("all", 1, 1, 1), ("none", 0, 0, 0)],
)
def test_answers_below_500(
    client_errors: str, by_view: int, by_layer: int, by_routing: int, telemetry: Telemetry
) -> None:
    forbidden = answer(web.HTTPForbidden)
    view, gate = failing(forbidden), layer(RAISE_BEFORE, forbidden)
    found = []
    for handler, layers, path in ((view, (), "/"), (fine, (gate,), "/"), (fine, (), "/nowhere")):
        app = web.Application(middlewares=[PASSING, *layers])
        everylayer_aiohttp.setup(app, client_errors=client_errors)
        app.router.add_get("/", handler)
        telemetry.clear()
        run(app, path)
        events = error_events(telemetry.spans)
        assert all((found.event.attributes or {})["everylayer.handled"] for found in events)
        found.append(len(events))
    assert found == [by_view, by_layer, by_routing]


@pytest.mark.parametrize("asked", ["send", "off"])
def test_a_failing_response_tells_where_its_error_began(asked: str, telemetry: Telemetry) -> None:
    def told(handler: Any) -> list[str]:
        app = app_of(Kit(stock=False, ours=False), handler)
        everylayer_aiohttp.setup(app, error_context=asked)
        return [value for name, value in run(app).headers if name == "x-error-context"]

    async def unavailable(request: web.Request) -> web.StreamResponse:
        raise web.HTTPServiceUnavailable

    @web.middleware
    async def answering(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except ValueError:
            return web.Response(status=502)

    async def answered(request: web.Request) -> web.StreamResponse:
        return await answering(request, failing(PLAIN))

    count = 1 if asked == "send" else 0
    for handler in (failing(PLAIN), unavailable):
        values = told(handler)
        assert len(values) == count
        assert all("type=" in value for value in values), values
    assert not told(fine)
    assert not told(answered), "no seam stands inside the one layer that answers"


def test_the_tenant_of_a_request(telemetry: Telemetry) -> None:
    app = app_of(Kit(stock=False, ours=False), failing(PLAIN))
    everylayer_aiohttp.setup(app, tenant="header", trusted_peers=("127.0.0.0/8",))
    run(app, lines="x-tenant-id: acme\r\n")
    (event,) = error_events(telemetry.spans)
    assert "acme" in (event.event.attributes or {}).values(), tree(telemetry.spans)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="needs sys.monitoring")
def test_what_a_layer_handles_by_itself(telemetry: Telemetry) -> None:
    async def view(request: web.Request) -> web.StreamResponse:
        try:
            await failing(PLAIN)(request)
        except ValueError:
            return web.Response(text="dealt with")
        raise AssertionError

    app = app_of(Kit(stock=False, ours=False), view)
    everylayer_aiohttp.setup(app, swallowed="monitor")
    run(app)
    assert "everylayer.monitor" in map(sys.monitoring.get_tool, range(6))
    everylayer_aiohttp.setup(app, swallowed="off")
    assert "everylayer.monitor" not in map(sys.monitoring.get_tool, range(6))
    (event,) = error_events(telemetry.spans)
    assert (event.event.attributes or {})["everylayer.layer.phase"] == "swallowed"


def test_routes_and_requests_are_on_a_span_of_ours(telemetry: Telemetry) -> None:
    app = OURS.app(PASSING)
    app.router.add_get("/orders/{number}", fine)
    headers = f"traceparent: 00-{'1' * 32}-{'2' * 16}-01\r\n"
    run(app, "/orders/7?page=%D1%84&bad=%ff", headers)
    (span,) = telemetry.spans
    assert span.name == "GET /orders/{number}"
    assert span.context.trace_id == int("1" * 32, 16)
    assert (span.attributes or {})["http.route"] == "/orders/{number}"
    assert (span.attributes or {})["http.status_code"] == 200


def test_middlewares_see_the_marks_of_a_handler(telemetry: Telemetry) -> None:
    """As aiohttp arranges it: what is inside a layer looks like the handler."""
    marks = []

    async def marked(request: web.Request) -> web.StreamResponse:
        """Say nothing."""
        return web.Response()

    marked.public = True  # type: ignore[attr-defined]

    @web.middleware
    async def asking(request: web.Request, handler: Any) -> web.StreamResponse:
        marks.append((handler.public, handler.__name__, handler.__doc__))
        answer: web.StreamResponse = await handler(request)
        return answer

    app = OURS.app(asking, asking)
    app.router.add_get("/", marked)
    run(app)
    assert marks == [(True, "marked", "Say nothing.")] * 2


def test_a_layer_that_hands_on_another_request(telemetry: Telemetry) -> None:
    @web.middleware
    async def cloning(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await handler(request.clone(method="GET"))

    app = OURS.app(layer(SWALLOW, PLAIN), cloning)
    app.router.add_get("/", failing(PLAIN))
    run(app)
    check(telemetry.spans, PLAIN, HANDLED)


def test_no_warning_of_ours(telemetry: Telemetry) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(app_of(OURS, fine))
    check(telemetry.spans, PLAIN, NOTHING)


def test_a_chain_is_taken_apart_once(telemetry: Telemetry) -> None:
    app = app_of(OURS, fine)
    (seam,) = (m for m in app.middlewares if type(m).__module__.startswith("everylayer_aiohttp"))
    made = []
    prepare = seam._prepare  # type: ignore[union-attr]
    seam._prepare = lambda *args: made.append(args[0]) or prepare(*args)  # type: ignore[union-attr]

    async def main() -> None:
        async with served(app) as port:
            for path in ("/", "/", "/nowhere", "/nowhere"):
                await ask(port, path)

    asyncio.run(main())
    assert len(made) == 3, "one for the handler, one for each path that is not there"


def test_what_aiohttp_has_changed_is_left_alone(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def finish_response(self: Any, response: Any) -> None:
        """Take other parameters than it did."""

    patches.undo()
    with monkeypatch.context() as changed:
        changed.setattr(web_protocol.RequestHandler, "finish_response", finish_response)
        with caplog.at_level(logging.WARNING, "everylayer"):
            importlib.reload(patches)
        patches.put()
        assert web_protocol.RequestHandler.finish_response is finish_response
        patches.undo()
    importlib.reload(patches)
    assert "everylayer-aiohttp" in caplog.text
    assert "aiohttp" in caplog.text


APP = """
import asyncio
from aiohttp import web
from opentelemetry import trace
from aiohttp_kit import run

@web.middleware
async def recovering(request, handler):
    try:
        return await handler(request)
    except ZeroDivisionError:
        return web.Response(status=418)

async def view(request):
    return 1 / 0

app = web.Application(middlewares=[recovering])
app.router.add_get("/", view)
print("status", run(app).status)
trace.get_tracer_provider().force_flush()
"""


def test_under_opentelemetry_instrument() -> None:
    chosen = {
        "OTEL_TRACES_EXPORTER": "console",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run(
        [Path(sys.executable).with_name("opentelemetry-instrument"), sys.executable, "-c", APP],
        capture_output=True,
        text=True,
        env={**os.environ, **chosen},
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "status 418" in done.stdout
    assert done.stdout.count('"exception.type": "ZeroDivisionError"') == 1
    assert '"everylayer.handled": true' in done.stdout
    assert done.stdout.count('"kind": "SpanKind.SERVER"') == 1


@pytest.mark.parametrize(("exc", "status"), [(asyncio.TimeoutError(), 504), (OSError(), 500)])
def test_the_status_is_the_one_that_aiohttp_answers_with(
    telemetry: Telemetry, exc: Exception, status: int
) -> None:
    async def failing(request: web.Request) -> web.Response:
        raise exc

    assert run(app_of(OURS, failing)).status == status
    assert (server_span(telemetry.spans).attributes or {})["http.status_code"] == status
