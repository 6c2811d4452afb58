"""What a failing response tells its caller: one table over the frameworks."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

import everylayer
from contract.telemetry import Telemetry, error_events, server_spans
from everylayer.boundaries.answer import service_of
from everylayer.boundaries.error_context import ErrorContext, Hop, parse, render
from services_kit import FRAMEWORKS, PEER, Gone, Unavailable, attributes_of, serve

HEADER = "x-error-context"
SECRET = "cannot reach bob with password=hunter2secret"
each = pytest.mark.parametrize("framework", FRAMEWORKS)


def works() -> str:
    return "fine"


def fails() -> str:
    raise KeyError("sku")


def unavailable() -> str:
    raise Unavailable(SECRET)


def gone() -> str:
    raise Gone


@each
@pytest.mark.parametrize(
    ("view", "status", "kind"), [(fails, 500, KeyError), (unavailable, 503, Unavailable)]
)
def test_a_5xx_tells_type_layer_service_and_where_it_is_recorded(
    telemetry: Telemetry, framework: str, view: Any, status: int, kind: type
) -> None:
    answer = serve(framework, view, error_context="send")()
    assert answer.status_code == status
    (event,) = error_events(telemetry.spans)
    said = parse(answer.headers[HEADER])
    assert said is not None
    assert said.more == 0
    (hop,) = said.hops
    context = event.span.get_span_context()
    assert context is not None
    assert hop == Hop(
        type=attributes_of(event)["exception.type"],
        layer=attributes_of(event)["everylayer.layer.name"],
        service="shop",
        trace_id=f"{context.trace_id:032x}",
        span_id=f"{context.span_id:016x}",
    )
    assert hop.type.endswith(kind.__name__)
    assert answer.headers.get_list(HEADER) == [render(said)]


@each
@pytest.mark.parametrize(("view", "status"), [(works, 200), (gone, 410)])
def test_any_other_response_tells_nothing(
    telemetry: Telemetry, framework: str, view: Any, status: int
) -> None:
    answer = serve(framework, view, error_context="send")()
    assert (answer.status_code, answer.headers.get(HEADER)) == (status, None)


@each
def test_the_response_is_otherwise_the_same_and_wholly_so_where_it_is_off(
    telemetry: Telemetry, framework: str
) -> None:
    off = serve(framework, unavailable)()
    on = serve(framework, unavailable, error_context="send", error_context_header="x-origin")()
    assert HEADER not in off.headers
    assert [h for h in on.headers.raw if h[0].lower() != b"x-origin"] == off.headers.raw
    assert "x-origin" in on.headers
    assert (on.status_code, on.read()) == (off.status_code, off.read())


@each
def test_only_a_trusted_caller_is_told_the_message_and_no_secret(
    telemetry: Telemetry, framework: str
) -> None:
    ask = serve(framework, unavailable, error_context="send", trusted_peers=["10.0.0.0/8"])
    stranger, friend = parse(ask().headers[HEADER]), parse(ask(peer="10.1.2.3").headers[HEADER])
    assert stranger is not None
    assert friend is not None
    assert stranger.origin.message == ""
    assert friend.origin.message.startswith("cannot reach bob with password=")
    assert "hunter2" not in friend.origin.message


@each
def test_with_trusted_a_stranger_is_told_nothing(telemetry: Telemetry, framework: str) -> None:
    ask = serve(framework, fails, error_context="trusted", trusted_peers=["10.0.0.0/8"])
    assert HEADER not in ask().headers
    assert HEADER in ask(peer="10.1.2.3").headers
    assert HEADER not in ask({"x-forwarded-for": "10.1.2.3", "forwarded": "for=10.1.2.3"}).headers


@each
def test_what_the_request_says_of_itself_is_on_the_error(
    telemetry: Telemetry, framework: str
) -> None:
    ask = serve(framework, fails, error_context="send")
    headers = {"x-request-id": "7b0d-42.a", "x-envoy-attempt-count": "2"}
    answer = ask(headers)
    (event,) = error_events(telemetry.spans)
    for found in (attributes_of(event), event.span.attributes or {}):
        assert found["everylayer.request.id"] == "7b0d-42.a"
        assert found["everylayer.request.attempt"] == 2
    said = parse(answer.headers[HEADER])
    assert said is not None
    assert said.origin.attempt == 2


@each
def test_a_request_that_works_is_not_read(telemetry: Telemetry, framework: str) -> None:
    serve(framework, works, error_context="send")({"x-request-id": "7b0d"})
    (span,) = server_spans(telemetry.spans)
    assert not [key for key in span.attributes or {} if key.startswith("everylayer.")]


@each
@pytest.mark.parametrize(
    "headers",
    [
        {"x-request-id": "a" * 129, "x-envoy-attempt-count": "0"},
        {"x-request-id": "<script>", "x-envoy-attempt-count": "-1"},
        {"x-request-id": "two words", "x-envoy-attempt-count": "99999"},
        [(b"x-request-id", b"\xff\xfe"), (b"x-envoy-attempt-count", "²".encode("latin-1"))],
        {},
    ],
)
def test_a_malformed_claim_is_left_out(telemetry: Telemetry, framework: str, headers: Any) -> None:
    serve(framework, fails, error_context="send")(headers)
    (event,) = error_events(telemetry.spans)
    assert not [key for key in attributes_of(event) if key.startswith("everylayer.request.")]


@each
def test_a_request_cannot_bring_an_error_context(telemetry: Telemetry, framework: str) -> None:
    forged = render(ErrorContext((Hop("forged.Error", service="evil"),)))
    answer = serve(framework, fails, error_context="send", trusted_peers=[PEER])({HEADER: forged})
    assert "forged" not in answer.headers[HEADER]
    (event,) = error_events(telemetry.spans)
    assert not [key for key in attributes_of(event) if "upstream" in key]


@each
def test_an_error_that_the_app_dealt_with_is_not_told(telemetry: Telemetry, framework: str) -> None:
    """An error that the app deals with by itself has no part in a 5xx that it did not cause."""

    def recorded() -> str:
        try:
            raise KeyError("sku")
        except KeyError as exc:
            everylayer.record(exc, handled=True)
        raise Unavailable

    said = parse(serve(framework, recorded, error_context="send")().headers[HEADER])
    assert said is not None
    assert said.origin.type.endswith("Unavailable")


@each
def test_an_error_that_the_app_expects_is_not_told(telemetry: Telemetry, framework: str) -> None:
    expected = [f"{Unavailable.__module__}.{Unavailable.__qualname__}"]
    answer = serve(framework, unavailable, error_context="send", expected=expected)()
    assert (answer.status_code, answer.headers.get(HEADER)) == (503, None)


def test_without_redaction_the_message_is_as_it_was(telemetry: Telemetry) -> None:
    rules = {"error_context": "send", "redaction": "off", "trusted_peers": [PEER]}
    said = parse(serve("flask", unavailable, **rules)().headers[HEADER])
    assert said is not None
    assert said.origin.message == SECRET


def test_the_service_is_named_as_its_spans_are(telemetry: Telemetry) -> None:
    resource = Resource.create({"service.name": "orders"})
    span = TracerProvider(resource=resource).get_tracer("app").start_span("x")
    assert service_of(span) == "orders"
    span.end()
    assert service_of(None) == "shop"
