"""Neutral ASGI seams: every layer's error on the request's span, and an app that cannot tell."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import context, trace
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

from contract.actions import ACTIONS, RERAISE, SWALLOW, TRANSLATED_TYPE, Action, perform_async
from contract.drive import run_asgi, scope
from contract.expect import HANDLED, Expected, check
from contract.faults import ERRORS, FAULTS, PLAIN, Fault, fault_site, named
from contract.responses import Raised, same
from contract.telemetry import Telemetry, error_events, server_spans
from everylayer import asgi, policy
from everylayer.asgi import SCOPE_KEY, Probe, Seam, between, right_inside, see
from everylayer.layers import Layer, LayerMap, codes_of
from everylayer.settings import Settings

App = Callable[[Any, Any, Any], Any]
OUTER, INNER = Layer("Outer", "middleware", 0), Layer("Inner", "middleware", 1)
VIEW = Layer("view", "view", 2)


async def answer(send: Any, status: int = 200, body: bytes = b"fine") -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"x-a", b"1")]})
    await send({"type": "http.response.body", "body": body})


def acting(action: Action, fault: Fault) -> Callable[[App], App]:
    def layer(app: App) -> App:
        async def acts(scope: Any, receive: Any, send: Any) -> None:
            await perform_async(
                action,
                fault,
                lambda: app(scope, receive, send),
                lambda status: answer(send, status),
            )

        return acts

    return layer


def passing(app: App) -> App:
    async def passes(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    return passes


def view_of(action: Action, fault: Fault) -> App:
    async def view(scope: Any, receive: Any, send: Any) -> None:
        if not action.raises:
            fault_site(fault)
        if not action.proceeds:
            await answer(send)

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
    without = run_asgi(bare(action, PLAIN, at), scope("/"))
    telemetry.clear()
    run = run_asgi(PLACES[place](probed(action, PLAIN, at)), scope("/"))
    same(without, run)
    layer = (OUTER, INNER)[at].name if action.raises else "view"
    check(telemetry.spans, PLAIN, action.expected(PLAIN, layer=layer))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_every_fault(telemetry: Telemetry, fault: Fault, place: str) -> None:
    without = run_asgi(bare(RERAISE, fault, 1), scope("/"))
    telemetry.clear()
    run = run_asgi(PLACES[place](probed(RERAISE, fault, 1)), scope("/"))
    same(without, run)
    if fault.departure:
        assert error_events(telemetry.spans) == []
    else:
        check(telemetry.spans, fault, RERAISE.expected(fault, layer="view"))


@pytest.mark.parametrize("fault", ERRORS, ids=str)
def test_what_no_probe_saw_is_explained_by_the_response_sent_for_it(
    telemetry: Telemetry, fault: Fault
) -> None:
    """Sending inside `except` shows the error: this one seam stands outside everything."""
    app = bare(SWALLOW, fault, 1)
    without = run_asgi(app, scope("/"))
    telemetry.clear()
    run = run_asgi(Seam(app, Settings(), layer=OUTER), scope("/"))
    same(without, run)
    check(telemetry.spans, fault, Expected(status="UNSET", handled=True, layer="Outer"))


def test_a_translated_error_names_both_layers(telemetry: Telemetry) -> None:
    from contract.actions import TRANSLATE

    run_asgi(Seam(probed(TRANSLATE, PLAIN, 1), Settings()), scope("/"))
    first, second = (dict(e.event.attributes or {}) for e in error_events(telemetry.spans))
    assert (first["exception.type"], first["everylayer.layer.name"]) == ("ValueError", "view")
    assert (second["exception.type"], second["everylayer.layer.name"]) == (TRANSLATED_TYPE, "Inner")


def test_a_map_names_the_layer_from_the_traceback(telemetry: Telemetry) -> None:
    layers = LayerMap()
    inner = bare(RERAISE, PLAIN, 1)
    layers.add(Layer("mapped", "middleware", 3), codes_of(inner))
    run_asgi(Seam(inner, Settings(), layers), scope("/"))
    check(telemetry.spans, PLAIN, Expected(layer="mapped", kind="middleware"))


def client_status(exc: BaseException) -> int | None:
    return 404 if isinstance(exc, LookupError) else None


@pytest.mark.parametrize(
    ("layer", "event"), [(VIEW, False), (INNER, True)], ids=["view", "middleware"]
)
def test_client_status(telemetry: Telemetry, layer: Layer, event: bool) -> None:
    async def view(scope: Any, receive: Any, send: Any) -> None:
        raise LookupError("no such page")

    async def recover(scope: Any, receive: Any, send: Any) -> None:
        try:
            await Probe(view, layer, client_status)(scope, receive, send)
        except LookupError:
            await answer(send, 404)

    run_asgi(OpenTelemetryMiddleware(Seam(recover, Settings(), None, None, client_status)), scope())
    assert [span.status.is_unset for span in server_spans(telemetry.spans)] == [True]
    assert len(error_events(telemetry.spans)) == (1 if event else 0)


def test_a_client_status_that_fails_is_survived(
    telemetry: Telemetry, failures: dict[str, int]
) -> None:
    def broken(exc: BaseException) -> int | None:
        raise RuntimeError("cannot tell")

    app = Seam(bare(RERAISE, PLAIN, 1), Settings(), client_status=broken)
    assert run_asgi(app, scope("/")).raised is not None
    check(telemetry.spans, PLAIN, Expected())
    assert sum(failures.values()) == 1


def test_an_error_that_was_in_flight_before_the_request_is_none_of_ours(
    telemetry: Telemetry,
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send)

    async def server(scope: Any, receive: Any, send: Any) -> None:
        try:
            raise KeyError("of the server")
        except KeyError:
            await Seam(app, Settings())(scope, receive, send)

    assert run_asgi(server, scope("/")).status == 200
    assert telemetry.spans == ()


@pytest.mark.parametrize("status", [200, 302])
def test_a_layer_that_deals_with_its_own_error_has_none(telemetry: Telemetry, status: int) -> None:
    """A cache that misses, a lookup with a fallback: nobody wants an event for that."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            raise KeyError("not in the cache")
        except KeyError:
            await answer(send, status)

    assert run_asgi(Seam(app, Settings()), scope("/")).status == status
    assert telemetry.spans == ()


@pytest.mark.parametrize(("status", "expected"), [(400, HANDLED), (503, Expected())])
def test_a_layer_that_refuses_for_its_own_error_shows_it(
    telemetry: Telemetry, status: int, expected: Expected
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            fault_site(PLAIN)
        except ValueError:
            await answer(send, status)

    run_asgi(Seam(app, Settings()), scope("/"))
    check(telemetry.spans, PLAIN, expected)


def test_an_error_raised_once_more_after_its_answer_leaves_the_app(telemetry: Telemetry) -> None:
    async def view(scope: Any, receive: Any, send: Any) -> None:
        fault_site(PLAIN)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await view(scope, receive, send)
        except ValueError:
            await answer(send)
            raise

    for stock in (True, False):
        telemetry.clear()
        seam: App = Seam(app, Settings())
        run_asgi(OpenTelemetryMiddleware(seam) if stock else seam, scope("/"))
        check(telemetry.spans, PLAIN, Expected())


def test_an_error_handled_before_the_response_is_not_in_flight_then(telemetry: Telemetry) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            raise KeyError("a default will do")
        except KeyError:
            pass
        await answer(send)

    run_asgi(Seam(app, Settings()), scope("/"))
    assert telemetry.spans == ()


@pytest.mark.parametrize("escapes", [True, False])
def test_an_error_after_the_response_has_started(telemetry: Telemetry, escapes: bool) -> None:
    async def view(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        fault_site(PLAIN)

    async def recover(scope: Any, receive: Any, send: Any) -> None:
        try:
            await Probe(view, VIEW)(scope, receive, send)
        except ValueError:
            await send({"type": "http.response.body", "body": b""})
            if escapes:
                raise

    for stock in (True, False):
        telemetry.clear()
        app: App = Seam(recover, Settings())
        run = run_asgi(OpenTelemetryMiddleware(app) if stock else app, scope("/"))
        assert run.status == 200
        # Stock's span ends with the last chunk: what comes then was seen while it was open.
        check(telemetry.spans, PLAIN, Expected() if escapes else HANDLED)


def test_an_error_after_stock_has_ended_its_span(telemetry: Telemetry) -> None:
    async def view(scope: Any, receive: Any, send: Any) -> None:
        await answer(send)
        fault_site(PLAIN)

    app = Seam(OpenTelemetryMiddleware(Probe(view, VIEW)), Settings())
    assert run_asgi(app, scope("/")).status == 200
    check(telemetry.spans, PLAIN, Expected(late=True, layer="view", server_status="UNSET"))


@pytest.mark.skipif(sys.version_info < (3, 11), reason="3.10 restores a dropped frame")
@pytest.mark.parametrize("fault", named("plain", "lying_class", "hostile_attributes"), ids=str)
def test_no_frame_of_ours_in_what_the_app_sees(telemetry: Telemetry, fault: Fault) -> None:
    seen: list[tuple[str, ...]] = []

    def look(app: App) -> App:
        async def looks(scope: Any, receive: Any, send: Any) -> None:
            try:
                await app(scope, receive, send)
            except Exception as exc:
                seen.append(Raised.of(exc).functions)
                raise

        return looks

    async def view(scope: Any, receive: Any, send: Any) -> None:
        fault_site(fault)

    run_asgi(look(Seam(look(Seam(look(Probe(view)), Settings())), Settings())), scope("/"))
    assert seen == [
        ("looks", "view", "fault_site"),
        ("looks", "looks", "view", "fault_site"),
        ("looks", "looks", "looks", "view", "fault_site"),
    ]


BAD_MESSAGES: list[Any] = [
    None,
    {},
    {"type": ["odd"]},
    {"type": "http.response.start"},
    {"type": "http.response.start", "status": "200"},
    {"type": "http.response.start", "status": None},
]


@pytest.mark.parametrize("handling", [True, False])
@pytest.mark.parametrize("message", BAD_MESSAGES)
def test_what_the_server_says_to_a_bad_message_is_passed_on(
    telemetry: Telemetry, message: Any, handling: bool
) -> None:
    class RefusedError(Exception):
        pass

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if not handling:
            await send(message)
        try:
            fault_site(PLAIN)
        except ValueError:
            await send(message)

    async def receive() -> Any: ...

    async def refuse(message: Any) -> None:
        raise RefusedError("bad message")

    functions = []
    for subject in (app, Seam(app, Settings())):
        with pytest.raises(RefusedError) as found:
            subject(scope("/"), receive, refuse).send(None)
        functions.append(Raised.of(found.value).functions)
    assert functions[0] == functions[1]


def test_a_clean_request_leaves_no_trace(telemetry: Telemetry) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert asgi.SCOPE_KEY in scope
        await answer(send, 503)

    run = run_asgi(Seam(Probe(app), Settings()), scope("/"))
    assert (run.status, run.body, run.raised) == (503, b"fine", None)
    assert telemetry.spans == ()


def test_a_probe_without_a_seam_uses_the_current_span(
    telemetry: Telemetry, tracer: trace.Tracer
) -> None:
    async def view(scope: Any, receive: Any, send: Any) -> None:
        fault_site(PLAIN)

    with tracer.start_as_current_span("GET /", kind=trace.SpanKind.SERVER):
        run_asgi(Probe(view, VIEW), scope("/"))
    check(telemetry.spans, PLAIN, Expected(layer="view"))


def show(exc: BaseException, request: Any) -> None:
    if SCOPE_KEY in request:
        see(exc, request, INNER, policy.no_client_status)


@pytest.mark.parametrize("make", [between, right_inside])
@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_probe_that_is_a_function(telemetry: Telemetry, make: Any, fault: Fault) -> None:
    """What stands around it answers after the `except` block, so that only the probe has seen."""

    async def view(scope: Any, receive: Any, send: Any) -> None:
        fault_site(fault)

    def app(inner: App) -> App:
        async def layer(scope: Any, receive: Any, send: Any) -> None:
            failed = False
            try:
                await inner(scope, receive, send)
            except Exception:
                failed = True
            if failed:
                await answer(send, 503)

        return layer

    plain = run_asgi(app(view), scope("/"))
    run = run_asgi(Seam(app(make(view, show)), Settings()), scope("/"))
    same(plain, run)
    if fault.departure:
        assert not error_events(telemetry.spans)
    else:
        check(telemetry.spans, fault, Expected(layer="Inner"))


def test_a_probe_right_inside_tells_the_span_to_an_error_seen_without_it(
    telemetry: Telemetry, tracer: trace.Tracer
) -> None:
    async def lost(scope: Any, receive: Any, send: Any) -> None:
        token = context.attach(context.Context())
        try:
            await between(view, show)(scope, receive, send)
        finally:
            context.detach(token)

    async def view(scope: Any, receive: Any, send: Any) -> None:
        fault_site(PLAIN)

    app = Seam(OpenTelemetryMiddleware(right_inside(lost, show)), Settings())
    assert run_asgi(app, scope("/")).raised is not None
    check(telemetry.spans, PLAIN, Expected(layer="Inner"))


def test_a_function_without_a_seam_shows_what_its_package_lets_it(telemetry: Telemetry) -> None:
    async def view(scope: Any, receive: Any, send: Any) -> None:
        fault_site(PLAIN)

    run = run_asgi(right_inside(between(view, show), show), scope("/"))
    same(run_asgi(view, scope("/")), run)
    assert telemetry.spans == ()


@pytest.mark.parametrize("cause", [True, False])
def test_what_a_framework_makes_of_an_error_after_the_start_answers_nothing(
    telemetry: Telemetry, cause: bool
) -> None:
    """Raised from it, the first error has left too; else it may have been dealt with."""

    async def view(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        fault_site(PLAIN)

    async def handling(scope: Any, receive: Any, send: Any) -> None:
        try:
            await Probe(view, INNER)(scope, receive, send)
        except ValueError as error:
            raise RuntimeError("too late to answer") from (error if cause else None)

    run_asgi(Seam(handling, Settings()), scope("/"))
    expected = Expected(layer="Inner", handled=not cause, also=("RuntimeError",))
    check(telemetry.spans, PLAIN, expected)
