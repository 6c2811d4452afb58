"""Neutral WSGI seams: every layer's error on the request's span, and an app that cannot tell."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.utils import (
    suppress_http_instrumentation,
    suppress_instrumentation,
)
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware
from opentelemetry.trace import SpanKind

from contract.actions import (
    ACTIONS,
    CONVERT,
    RERAISE,
    SWALLOW,
    TRANSLATE,
    TRANSLATED_TYPE,
    Action,
    perform,
)
from contract.drive import environ, run_wsgi
from contract.expect import HANDLED, Expected, check
from contract.faults import ERRORS, FAULTS, PLAIN, Fault, fault_site, named
from contract.responses import Raised, same
from contract.telemetry import Telemetry, error_events, server_span, server_spans
from everylayer import http_span, wsgi, wsgi_span
from everylayer.layers import Layer, LayerMap, codes_of
from everylayer.settings import Settings
from everylayer.wsgi import Probe, Seam

App = Callable[[Any, Any], Any]
OUTER, INNER = Layer("Outer", "middleware", 0), Layer("Inner", "middleware", 1)
VIEW = Layer("view", "view", 2)
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def answer(start_response: Any, status: int = 200, *exc_info: Any) -> list[bytes]:
    start_response(f"{status} Said", [("X-A", "1")], *exc_info)
    return [b"fine"]


def acting(action: Action, fault: Fault) -> Callable[[App], App]:
    def layer(app: App) -> App:
        def acts(environ: Any, start_response: Any) -> Any:
            return perform(
                action,
                fault,
                lambda: app(environ, start_response),
                lambda status: answer(start_response, status),
            )

        return acts

    return layer


def passing(app: App) -> App:
    def passes(environ: Any, start_response: Any) -> Any:
        return app(environ, start_response)

    return passes


def view_of(action: Action, fault: Fault) -> App:
    def view(environ: Any, start_response: Any) -> Any:
        if not action.raises:
            fault_site(fault)
        return [] if action.proceeds else answer(start_response)

    return view


def bare(action: Action, fault: Fault, at: int) -> App:
    app = view_of(action, fault)
    for layer in [acting(action, fault), passing] if at else [passing, acting(action, fault)]:
        app = layer(app)
    return app


def probed(action: Action, fault: Fault, at: int) -> App:
    app: App = Probe(view_of(action, fault), VIEW)
    layers = [acting(action, fault), passing] if at else [passing, acting(action, fault)]
    for layer, name in zip(layers, (INNER, OUTER), strict=True):
        app = Probe(layer(app), name)
    return app


PLACES: dict[str, Callable[[App], App]] = {
    "no span": lambda app: Seam(app, Settings()),
    "stock outside": lambda app: OpenTelemetryMiddleware(Seam(app, Settings())),
    "stock inside": lambda app: Seam(OpenTelemetryMiddleware(app), Settings()),
    "seam in a seam": lambda app: Seam(Seam(app, Settings()), Settings()),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize("action", ACTIONS, ids=str)
def test_every_action_of_a_layer(telemetry: Telemetry, action: Action, at: int, place: str) -> None:
    without = run_wsgi(bare(action, PLAIN, at), environ("/"))
    telemetry.clear()
    run = run_wsgi(PLACES[place](probed(action, PLAIN, at)), environ("/"))
    same(without, run)
    layer = (OUTER, INNER)[at].name if action.raises else "view"
    check(telemetry.spans, PLAIN, action.expected(PLAIN, layer=layer))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_every_fault(telemetry: Telemetry, fault: Fault, place: str) -> None:
    without = run_wsgi(bare(RERAISE, fault, 1), environ("/"))
    telemetry.clear()
    run = run_wsgi(PLACES[place](probed(RERAISE, fault, 1)), environ("/"))
    same(without, run)
    if fault.departure:
        assert error_events(telemetry.spans) == []
    elif fault.is_exception or place != "stock outside":  # stock never ends its span for others
        check(telemetry.spans, fault, RERAISE.expected(fault, layer="view"))


@pytest.mark.parametrize("fault", ERRORS, ids=str)
@pytest.mark.parametrize("how", ["in flight", "exc_info"])
def test_what_no_probe_saw_is_explained_by_the_response_started_for_it(
    telemetry: Telemetry, fault: Fault, how: str
) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        try:
            fault_site(fault)
        except Exception as exc:
            if how == "in flight":
                return answer(start_response, 503)
            tb = BaseException.__dict__["__traceback__"].__get__(exc)
            exc_info = (type(exc), exc, tb)
        return answer(start_response, 503, exc_info)

    without = run_wsgi(app, environ("/"))
    telemetry.clear()
    same(without, run_wsgi(Seam(app, Settings(), layer=OUTER), environ("/")))
    check(telemetry.spans, fault, Expected(layer="Outer"))


def test_swallowed_below_500_is_handled(telemetry: Telemetry) -> None:
    run_wsgi(Seam(bare(SWALLOW, PLAIN, 1), Settings()), environ("/"))
    check(telemetry.spans, PLAIN, HANDLED)


def test_exc_info_by_keyword_works_as_it_did(telemetry: Telemetry) -> None:
    """PEP 3333 asks for positional arguments; servers take names too, and so must we."""

    def app(environ: Any, start_response: Any) -> Any:
        try:
            fault_site(PLAIN)
        except ValueError:
            start_response(status="500 Broken", headers=[], exc_info=sys.exc_info())
        return [b"broken"]

    without = run_wsgi(app, environ("/"))
    assert without.status == 500
    telemetry.clear()
    same(without, run_wsgi(Seam(app, Settings()), environ("/")))
    check(telemetry.spans, PLAIN, Expected())


def test_a_response_replaced_after_an_error_has_the_last_status(telemetry: Telemetry) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        try:
            fault_site(PLAIN)
        except ValueError:
            return answer(start_response, 500, sys.exc_info())

    run = run_wsgi(OpenTelemetryMiddleware(Seam(app, Settings())), environ("/"))
    assert run.status == 500
    check(telemetry.spans, PLAIN, Expected())
    telemetry.clear()
    assert run_wsgi(Seam(app, Settings()), environ("/")).status == 500
    check(telemetry.spans, PLAIN, Expected())


def test_a_translated_error_names_both_layers(telemetry: Telemetry) -> None:
    run_wsgi(Seam(probed(TRANSLATE, PLAIN, 1), Settings()), environ("/"))
    first, second = (dict(e.event.attributes or {}) for e in error_events(telemetry.spans))
    assert (first["exception.type"], first["everylayer.layer.name"]) == ("ValueError", "view")
    assert (second["exception.type"], second["everylayer.layer.name"]) == (TRANSLATED_TYPE, "Inner")


def test_a_map_names_the_layer_from_the_traceback(telemetry: Telemetry) -> None:
    layers = LayerMap()
    inner = bare(RERAISE, PLAIN, 1)
    layers.add(Layer("mapped", "middleware", 3), codes_of(inner))
    run_wsgi(Seam(inner, Settings(), layers), environ("/"))
    check(telemetry.spans, PLAIN, Expected(layer="mapped", kind="middleware"))


@pytest.mark.parametrize(("layer", "event"), [(VIEW, False), (INNER, True)])
def test_client_status(telemetry: Telemetry, layer: Layer, event: bool) -> None:
    def client_status(exc: BaseException) -> int | None:
        return 404 if isinstance(exc, LookupError) else None

    def view(environ: Any, start_response: Any) -> Any:
        raise LookupError("no such page")

    def recover(environ: Any, start_response: Any) -> Any:
        try:
            return Probe(view, layer, client_status)(environ, start_response)
        except LookupError:
            return answer(start_response, 404)

    app = OpenTelemetryMiddleware(Seam(recover, Settings(), None, None, client_status))
    run_wsgi(app, environ())
    assert [span.status.is_unset for span in server_spans(telemetry.spans)] == [True]
    assert len(error_events(telemetry.spans)) == (1 if event else 0)


def test_a_client_status_that_fails_is_survived(
    telemetry: Telemetry, failures: dict[str, int]
) -> None:
    def broken(exc: BaseException) -> int | None:
        raise RuntimeError("cannot tell")

    app = Seam(bare(RERAISE, PLAIN, 1), Settings(), client_status=broken)
    assert run_wsgi(app, environ("/")).raised is not None
    check(telemetry.spans, PLAIN, Expected())
    assert sum(failures.values()) == 1


def test_an_error_that_was_in_flight_before_the_request_is_none_of_ours(
    telemetry: Telemetry,
) -> None:
    def server(environ: Any, start_response: Any) -> Any:
        try:
            raise KeyError("of the server")
        except KeyError:
            return Seam(lambda e, s: answer(s), Settings())(environ, start_response)

    assert run_wsgi(server, environ("/")).status == 200
    assert telemetry.spans == ()


@pytest.mark.skipif(sys.version_info < (3, 11), reason="3.10 restores a dropped frame")
@pytest.mark.parametrize("fault", named("plain", "lying_class", "hostile_attributes"), ids=str)
def test_no_frame_of_ours_in_what_the_app_sees(telemetry: Telemetry, fault: Fault) -> None:
    seen: list[tuple[str, ...]] = []

    def look(app: App) -> App:
        def looks(environ: Any, start_response: Any) -> Any:
            try:
                return app(environ, start_response)
            except Exception as exc:
                seen.append(Raised.of(exc).functions)
                raise

        return looks

    def view(environ: Any, start_response: Any) -> Any:
        fault_site(fault)

    run_wsgi(look(Seam(look(Seam(look(Probe(view)), Settings())), Settings())), environ("/"))
    assert seen == [
        ("looks", "view", "fault_site"),
        ("looks", "looks", "view", "fault_site"),
        ("looks", "looks", "looks", "view", "fault_site"),
    ]


@pytest.mark.parametrize("status", ["200 OK", "nonsense", "", b"200 OK", None, 200])
def test_what_the_server_says_to_a_bad_status_is_passed_on(
    telemetry: Telemetry, status: Any, failures: dict[str, int]
) -> None:
    class RefusedError(Exception):
        pass

    def app(environ: Any, start_response: Any) -> Any:
        return start_response(status, [])

    def refuse(status: Any, headers: Any, exc_info: Any = None) -> Any:
        raise RefusedError("bad status")

    functions = []
    for subject in (app, Seam(app, Settings())):
        with pytest.raises(RefusedError) as found:
            subject(environ("/"), refuse)
        functions.append(Raised.of(found.value).functions)
    assert functions[0] == functions[1]


def test_a_clean_request_leaves_no_trace(telemetry: Telemetry) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        assert wsgi.ENVIRON_KEY in environ
        return answer(start_response, 503)

    run = run_wsgi(Seam(Probe(app), Settings()), environ("/"))
    assert (run.status, run.body, run.raised) == (503, b"fine", None)
    assert telemetry.spans == ()


def test_a_probe_without_a_seam_uses_the_current_span(
    telemetry: Telemetry, tracer: trace.Tracer
) -> None:
    with tracer.start_as_current_span("GET /", kind=SpanKind.SERVER):
        run_wsgi(Probe(view_of(RERAISE, PLAIN), VIEW), environ("/"))
    check(telemetry.spans, PLAIN, Expected(layer="view"))


def test_the_server_span_made_afterwards(telemetry: Telemetry) -> None:
    request = environ("/shop?q=1", [("traceparent", TRACEPARENT)], "POST")
    run_wsgi(Seam(Probe(bare(CONVERT, PLAIN, 1), VIEW), Settings()), request)
    span = server_span(telemetry.spans)
    assert span.name == "POST /shop"
    assert span.context is not None
    assert f"{span.context.trace_id:032x}" == TRACEPARENT[3:35]
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == TRACEPARENT[36:52]
    values = dict(span.attributes or {})
    assert values["http.method"] == "POST"
    assert values["http.status_code"] == 503
    assert span.start_time is not None
    assert span.end_time is not None
    assert span.start_time <= span.events[0].timestamp <= span.end_time


STRANGE: dict[str, dict[str, Any]] = {
    "bytes that are no text": {"HTTP_HOST": "\xff\xfe", "PATH_INFO": "/\xff"},
    "bad traceparent": {"HTTP_TRACEPARENT": "\xff" * 100},
    "surrogates": {"PATH_INFO": "/\udcff", "QUERY_STRING": "\udcfe", "REQUEST_METHOD": "\udcff"},
    "a port that is no number": {"SERVER_PORT": "http", "REMOTE_PORT": "x"},
    "empty": {"PATH_INFO": "", "SERVER_NAME": "", "REQUEST_METHOD": "", "SERVER_PROTOCOL": ""},
    "odd query": {"QUERY_STRING": "\xff\xfe=%ff;;&"},
}


@pytest.mark.parametrize("name", STRANGE)
def test_nothing_in_a_request_costs_the_error(
    telemetry: Telemetry, name: str, failures: dict[str, int]
) -> None:
    request = {**environ("/"), **STRANGE[name]}
    assert run_wsgi(Seam(Probe(bare(RERAISE, PLAIN, 1), VIEW), Settings()), request).raised
    check(telemetry.spans, PLAIN, Expected(layer="view"))
    for span in telemetry.spans:
        span.name.encode()


def test_a_request_made_by_hand_is_no_failure_of_ours(telemetry: Telemetry) -> None:
    assert run_wsgi(Seam(Probe(bare(RERAISE, PLAIN, 1), VIEW), Settings()), {}).raised
    check(telemetry.spans, PLAIN, Expected(layer="view"))


@pytest.mark.parametrize("key", [k for k in environ() if not k.startswith("wsgi.mult")])
def test_an_environ_without_what_it_should_have(
    telemetry: Telemetry, key: str, failures: dict[str, int]
) -> None:
    request = environ("/")
    del request[key]
    assert run_wsgi(Seam(Probe(bare(RERAISE, PLAIN, 1), VIEW), Settings()), request).raised
    check(telemetry.spans, PLAIN, Expected(layer="view"))


def test_without_a_provider_there_is_no_span(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace, "get_tracer_provider", trace.NoOpTracerProvider)
    assert not http_span.provider_configured()
    assert wsgi_span.server_span(environ("/"), 1, None) is None
    assert telemetry.spans == ()


@pytest.mark.parametrize("suppress", [suppress_instrumentation, suppress_http_instrumentation])
def test_where_instrumentation_is_suppressed_there_is_no_span(
    telemetry: Telemetry, suppress: Callable[[], AbstractContextManager[None]]
) -> None:
    with suppress():
        assert run_wsgi(Seam(bare(RERAISE, PLAIN, 1), Settings()), environ("/")).raised
    assert telemetry.spans == ()


def test_an_environ_used_again_is_a_request_again(telemetry: Telemetry) -> None:
    def retry(environ: Any, start_response: Any) -> Any:
        for _ in range(2):
            try:
                Seam(Probe(bare(RERAISE, PLAIN, 1), VIEW), Settings())(environ, start_response)
            except ValueError:
                continue
        return answer(start_response)

    run_wsgi(retry, environ("/"))
    assert len(error_events(telemetry.spans)) == 2
    telemetry.clear()
    run_wsgi(OpenTelemetryMiddleware(retry), environ("/"))
    assert len(server_spans(telemetry.spans)) == 1
    assert len(error_events(telemetry.spans)) == 2
