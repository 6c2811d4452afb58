"""Stock's own failures stay stock's: the app answers as it would without it, and nothing leaks."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
from typing import Any

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse
from django.test import Client
from django.test.utils import override_settings
from opentelemetry import trace
from opentelemetry.instrumentation.django.middleware.otel_middleware import _DjangoMiddleware
from opentelemetry.trace import StatusCode

from contract import drive
from contract.expect import NOTHING, Expected, check
from contract.faults import PLAIN
from contract.telemetry import Telemetry, error_events, server_span, server_spans
from djangoapp import plan
from djangoapp.cases import CASES, Case
from djangoapp.serve import ENTRY, run, stock_instrumentation

BOTH = pytest.mark.parametrize("server", ["wsgi", "asgi"])


def case(name: str) -> Case:
    return next(c for c in CASES if c.name == name)


class Counter:
    """Stands in for the instrument that counts active requests."""

    def __init__(self) -> None:
        self.active = 0

    def add(self, amount: int, attributes: Any = None) -> None:
        self.active += amount


@pytest.fixture
def counter(monkeypatch: pytest.MonkeyPatch) -> Counter:
    made = Counter()

    def create(meter: Any) -> Counter:
        return made

    module = "opentelemetry.instrumentation.django.create_http_server_active_requests"
    monkeypatch.setattr(module, create)
    return made


@BOTH
@pytest.mark.parametrize("name", ["layer-system_exit", "handler500", "view", "fine", "stream"])
def test_every_request_is_counted_off(
    server: str, name: str, counter: Counter, telemetry: Telemetry
) -> None:
    run(case(name), server, stock=True, position="first")
    assert counter.active == 0


def broken(*args: Any, **kwargs: Any) -> Any:
    raise RuntimeError("stock is broken")


@BOTH
@pytest.mark.parametrize(
    ("target", "sees"),
    [
        ("_start_internal_or_server_span", "nothing"),
        ("extract_attributes_from_object", "a begun span"),
        ("_is_asgi_request", "nothing"),
    ],
)
def test_stock_that_fails_on_the_way_in(
    server: str,
    target: str,
    sees: str,
    counter: Counter,
    telemetry: Telemetry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    where = "opentelemetry.instrumentation.django.middleware.otel_middleware"
    monkeypatch.setattr(f"{where}.{target}", broken)
    failing = case("plain.before-inside")
    before = run(failing, server)
    telemetry.clear()
    after = run(failing, server, stock=True, position="last")
    assert (before.status, before.body) == (after.status, after.body)
    assert trace.get_current_span() is trace.INVALID_SPAN
    assert counter.active == 0
    assert len([e for s in server_spans(telemetry.spans) for e in s.events]) == 1


@BOTH
@pytest.mark.parametrize("target", ["get_global_response_propagator", "_parse_duration_attrs"])
def test_stock_that_fails_on_the_way_out(
    server: str,
    target: str,
    counter: Counter,
    telemetry: Telemetry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    where = "opentelemetry.instrumentation.django.middleware.otel_middleware"
    monkeypatch.setattr(f"{where}.{target}", broken)
    assert run(case("fine"), server, stock=True, position="first").status == 200
    assert trace.get_current_span() is trace.INVALID_SPAN
    check(telemetry.spans, PLAIN, NOTHING)


@BOTH
def test_a_path_that_cannot_be_resolved(server: str, telemetry: Telemetry) -> None:
    """Stock resolves the path for its span's name; a converter that fails then fails it."""
    before = run(case("converter"), server)
    telemetry.clear()
    after = run(case("converter"), server, stock=True, position="first")
    assert (before.status, before.body) == (after.status, after.body)
    assert server_span(telemetry.spans).name == "GET"


@pytest.mark.parametrize("place", range(3))
def test_stock_anywhere_in_the_list(place: int, telemetry: Telemetry) -> None:
    stock = f"{_DjangoMiddleware.__module__}._DjangoMiddleware"
    with override_settings(MIDDLEWARE=[]), stock_instrumentation():
        layers = ["djangoapp.layers.Plain", "djangoapp.layers.Quiet"]
        layers.insert(place, stock)
        with override_settings(MIDDLEWARE=[ENTRY, *layers]), plan.failing({"plain.after": PLAIN}):
            drive.run_wsgi(WSGIHandler(), drive.environ("/ok"))
    spans = server_spans(telemetry.spans)
    assert len(spans) == 1
    assert spans[0].status.status_code is StatusCode.ERROR
    check(telemetry.spans, PLAIN, Expected(layer="Plain", phase="call"))


@BOTH
def test_many_requests_at_once_keep_apart(server: str, telemetry: Telemetry) -> None:
    class Mixed:
        def __init__(self, get_response: Any) -> None:
            self.get_response = get_response

        def __call__(self, request: Any) -> Any:
            if request.GET["n"] in "02468":
                raise ValueError(f"number {request.GET['n']}")
            return self.get_response(request)

    import djangoapp.layers

    djangoapp.layers.Mixed = Mixed
    with (
        override_settings(
            MIDDLEWARE=["djangoapp.layers.QuietMixin", "djangoapp.layers.Mixed", ENTRY]
        ),
        stock_instrumentation(),
    ):
        if server == "asgi":
            app = ASGIHandler()

            async def main() -> None:
                scopes = [drive.scope(f"/async?n={n}") for n in range(10)]
                await asyncio.gather(*(drive.call_asgi(app, scope) for scope in scopes))

            asyncio.run(main())
        else:
            handler = WSGIHandler()
            threads = [
                threading.Thread(target=drive.run_wsgi, args=(handler, drive.environ(f"/ok?n={n}")))
                for n in range(10)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    servers = server_spans(telemetry.spans)
    assert len(servers) == 10
    messages = sorted(e.event.attributes["exception.message"] for e in error_events(servers))
    assert messages == [f"number {n}" for n in (0, 2, 4, 6, 8)]
    assert all(len(span.events) <= 1 for span in servers)


@pytest.mark.parametrize("stock", [True, False])
def test_a_client_that_goes_away_is_no_error(stock: bool, telemetry: Telemetry) -> None:
    began = asyncio.Event()

    async def slow(get_response: Any) -> None: ...

    class Slow:
        sync_capable, async_capable = False, True

        def __init__(self, get_response: Any) -> None:
            from asgiref.sync import markcoroutinefunction

            markcoroutinefunction(self)

        async def __call__(self, request: Any) -> Any:
            began.set()
            await asyncio.sleep(10)

    import djangoapp.layers

    djangoapp.layers.Slow = Slow

    async def main(app: Any) -> None:
        task = asyncio.create_task(drive.call_asgi(app, drive.scope("/ok")))
        await began.wait()
        task.cancel()
        await asyncio.wait([task])

    with override_settings(MIDDLEWARE=["djangoapp.layers.Slow", ENTRY]):
        if stock:
            with stock_instrumentation():
                asyncio.run(main(ASGIHandler()))
        else:
            asyncio.run(main(ASGIHandler()))
    # Some versions of asgiref answer None for what was cancelled, which Django trips over.
    found = [e.event.attributes["exception.type"] for e in error_events(telemetry.spans)]
    assert found in ([], ["AttributeError"])
    assert server_span(telemetry.spans).status.status_code is StatusCode.UNSET


def test_a_failed_request_can_be_copied_and_pickled(telemetry: Telemetry) -> None:
    kept: list[Any] = []

    class Keeps:
        def __init__(self, get_response: Any) -> None:
            self.get_response = get_response

        def __call__(self, request: Any) -> Any:
            response = self.get_response(request)
            kept.append(copy.copy(request))
            kept.append(copy.deepcopy(vars(request)["_everylayer"]))
            kept.append(pickle.loads(pickle.dumps(vars(request)["_everylayer"])))
            return response

    import djangoapp.layers

    djangoapp.layers.Keeps = Keeps
    with override_settings(MIDDLEWARE=["djangoapp.layers.Keeps", ENTRY]):
        Client(raise_request_exception=False).get("/none")
    assert kept[1:] == [None, None]
    assert len(error_events([server_span(telemetry.spans)])) == 1


def test_a_conversion_outside_any_handler(telemetry: Telemetry) -> None:
    from django.core.handlers.exception import convert_exception_to_response
    from django.test import RequestFactory

    def view(request: Any) -> HttpResponse:
        raise LookupError("converted")

    with override_settings(MIDDLEWARE=[ENTRY]):
        WSGIHandler()
    with trace.get_tracer("app").start_as_current_span("job"):
        response = convert_exception_to_response(view)(RequestFactory().get("/"))
    assert response.status_code == 500
    (found,) = error_events(telemetry.spans)
    assert found.span.name == "job"
    assert found.event.attributes["everylayer.layer.name"].endswith("view")
