"""What tenants cost: ids against the SDK's generator, and a request with its tenant set.

    python -m benchmarks.ids [--rounds N]

Both sides run in turn, round by round; CPU time is counted. The ratio is that of one round.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from wsgiref.util import setup_testing_defaults

from flask import Flask
from opentelemetry import trace
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.starlette import StarletteInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from everylayer import TenantIdGenerator, use_tenant
from everylayer.asgi import Seam as AsgiSeam
from everylayer.settings import Settings
from everylayer.wsgi import Seam as WsgiSeam
from everylayer_flask import EveryLayer
from everylayer_starlette import EveryLayerMiddleware

# Seconds below which a measurement is repeated.
SHORTEST = 0.01

Call = Callable[[], object]


class Case(NamedTuple):
    """What is compared.

    Attributes:
        name: of the row.
        plain: without tenants.
        ours: with them.
    """

    name: str
    plain: Call
    ours: Call


class Row(NamedTuple):
    """One line of the table; times are nanoseconds a call.

    Attributes:
        case: what is called.
        plain: median without tenants.
        ours: median with them.
        ratio: median of ours / plain over the rounds.
        low: the tenth part of the rounds is below.
        high: the tenth part is above.
    """

    case: str
    plain: float
    ours: float
    ratio: float
    low: float
    high: float


def cases() -> Iterator[Case]:
    """Yield what is measured, the tenant `acme` set where it says so."""
    sdk, ours = RandomIdGenerator(), TenantIdGenerator(4096)
    yield Case("span id, no tenant", sdk.generate_span_id, ours.generate_span_id)
    with use_tenant("acme"):
        yield Case("span id of a tenant", sdk.generate_span_id, ours.generate_span_id)
        yield Case("span of a tenant, begun and ended", _span(sdk), _span(ours))
    yield Case("trace id", sdk.generate_trace_id, ours.generate_trace_id)
    trace.set_tracer_provider(TracerProvider())
    on = Settings(tenant="header")
    off = Settings()
    yield Case("WSGI seam around nothing", _wsgi(WsgiSeam(_page, off)), _wsgi(WsgiSeam(_page, on)))
    yield Case(
        "ASGI seam around nothing", _asgi(AsgiSeam(_apage, off)), _asgi(AsgiSeam(_apage, on))
    )
    yield Case("Flask request", _wsgi(_flask("off")), _wsgi(_flask("header")))
    yield Case("Starlette request", _asgi(_starlette("off")), _asgi(_starlette("header")))


def _span(generator: IdGenerator) -> Call:
    tracer = TracerProvider(id_generator=generator).get_tracer("app")
    return lambda: tracer.start_span("GET /").end()


def _page(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [b"ok"]


async def _apage(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


def _flask(tenant: str) -> Any:
    app = Flask("app")
    app.add_url_rule("/", view_func=lambda: "ok")
    FlaskInstrumentor().instrument_app(app)  # type: ignore[no-untyped-call]
    EveryLayer(app, tenant=tenant)
    return app


def _starlette(tenant: str) -> Any:
    async def home(request: Any) -> Any:
        return PlainTextResponse("ok")

    app = Starlette(routes=[Route("/", home)])
    app.add_middleware(EveryLayerMiddleware, tenant=tenant)
    StarletteInstrumentor().instrument_app(app)
    return app


def _wsgi(app: Any) -> Call:
    environ: dict[str, Any] = {"HTTP_X_TENANT_ID": "acme", "REMOTE_ADDR": "127.0.0.1"}
    setup_testing_defaults(environ)

    def start(status: str, headers: Any) -> Any:
        return None

    def call() -> None:
        body = app(dict(environ), start)
        for _ in body:
            pass
        if hasattr(body, "close"):
            body.close()

    return call


def _asgi(app: Any) -> Call:
    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        return None

    names = ("host", "user-agent", "accept", "x-tenant-id", "traceparent")
    headers = [(name.encode(), b"acme") for name in names]

    def call() -> None:
        scope = {
            "type": "http",
            "method": "GET",
            "scheme": "http",
            "path": "/",
            "root_path": "",
            "query_string": b"",
            "headers": headers,
            "client": ("127.0.0.1", 5000),
            "server": ("127.0.0.1", 80),
            "http_version": "1.1",
        }
        try:
            # No loop: nothing in it waits.
            app(scope, receive, send).send(None)
        except StopIteration:
            return

    return call


def _time(call: Call, times: int) -> float:
    begin = time.process_time_ns()
    for _ in range(times):
        call()
    return (time.process_time_ns() - begin) / times


def measure(rounds: int) -> Iterator[Row]:
    """Yield a row for each case."""
    for case in cases():
        times = 10
        while _time(case.plain, times) * times < SHORTEST * 1e9:
            times *= 2
        pairs = [(_time(case.plain, times), _time(case.ours, times)) for _ in range(rounds)]
        ratios = sorted(ours / plain for plain, ours in pairs)
        tenth = len(ratios) // 10
        yield Row(
            case.name,
            statistics.median(plain for plain, _ in pairs),
            statistics.median(ours for _, ours in pairs),
            statistics.median(ratios),
            ratios[tenth],
            ratios[-1 - tenth],
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=31)
    rounds = parser.parse_args().rounds
    print("| | without, ns | with, ns | ratio | 10 % to 90 % |")
    print("|---|---:|---:|---:|---:|")
    for row in measure(rounds):
        print(
            f"| {row.case} | {row.plain:.0f} | {row.ours:.0f} | {row.ratio:.2f} "
            f"| {row.low:.2f} to {row.high:.2f} |"
        )


if __name__ == "__main__":
    main()
