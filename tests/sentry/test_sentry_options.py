"""What the app has told Sentry by its options and scopes holds for what everylayer captures."""

from __future__ import annotations

import contextlib
import logging
from typing import Any

import pytest
import sentry_sdk
from opentelemetry import trace
from opentelemetry.trace import SpanKind
from sentry_sdk.integrations.dedupe import DedupeIntegration
from sentry_sdk.integrations.logging import LoggingIntegration

import everylayer
from contract.telemetry import Telemetry, server_span
from everylayer import configure
from everylayer.failsafe import contained
from sentry_kit import initialised, mechanism

BARE: dict[str, Any] = {"default_integrations": False, "auto_enabling_integrations": False}


class Known(Exception):
    """What nobody wants to hear of."""


def fail(error: Exception) -> None:
    """Have `error` swallowed in a request that everylayer sees."""
    configure(sentry="capture")
    with trace.get_tracer("app").start_as_current_span("GET /", kind=SpanKind.SERVER):
        try:
            raise error
        except Exception as caught:
            everylayer.record(caught, handled=True)


def names_an_event(telemetry: Telemetry) -> bool:
    return "sentry.event_id" in (server_span(telemetry.spans).attributes or {})


def test_before_send_sees_all_and_may_change_it(telemetry: Telemetry) -> None:
    seen: list[Any] = []

    def before_send(event: Any, hint: Any) -> Any:
        seen.append((dict(event), dict(hint)))
        event.setdefault("tags", {})["mine"] = "yes"
        return event

    with initialised(before_send=before_send, **BARE) as kept:
        sentry_sdk.capture_exception(ValueError("by hand"))
        fail(ValueError("swallowed"))
    (by_hand, _), (event, hint) = seen
    assert type(event["timestamp"]) is type(by_hand["timestamp"])
    assert event["contexts"]["everylayer"]["layer"]
    assert str(hint["exc_info"][1]) == "swallowed"
    assert kept.events[1]["tags"]["mine"] == "yes"


@pytest.mark.parametrize(
    "options",
    [
        {"before_send": lambda event, hint: None},
        {"ignore_errors": [Known]},
        {"sample_rate": 0.0},
        {"error_sampler": lambda event, hint: 0.0},
    ],
    ids=lambda options: next(iter(options)),
)
def test_what_sentry_drops_no_span_names(telemetry: Telemetry, options: dict[str, Any]) -> None:
    with initialised(**options, **BARE) as kept:
        fail(Known("dropped"))
    assert not kept.events
    assert not names_an_event(telemetry)


def test_the_scopes_of_the_error_are_those_of_its_event(telemetry: Telemetry) -> None:
    with initialised(environment="staging", **BARE) as kept:
        configure(sentry="capture")
        with (
            sentry_sdk.isolation_scope() as scope,
            trace.get_tracer("app").start_as_current_span("GET /", kind=SpanKind.SERVER) as span,
        ):
            scope.set_user({"id": "u7"})
            scope.set_tag("plan", "gold")
            scope.fingerprint = ["mine"]
            sentry_sdk.add_breadcrumb(message="before")
            try:
                raise ValueError("swallowed")
            except ValueError as error:
                everylayer.record(error, handled=True)
            span.end()
    (event,) = kept.events
    assert event["user"] == {"id": "u7"}
    assert event["tags"]["plan"] == "gold"
    assert event["fingerprint"] == ["mine"]
    assert [one["message"] for one in event["breadcrumbs"]["values"]] == ["before"]
    assert (event["environment"], event["release"]) == ("staging", "shop@1")


@pytest.mark.parametrize(("handled", "counted"), [(True, "errored"), (False, "crashed")])
def test_a_session_counts_what_is_captured(
    telemetry: Telemetry, handled: bool, counted: str
) -> None:
    with initialised(**BARE):
        configure(sentry="capture")
        with sentry_sdk.isolation_scope() as scope:
            scope.start_session(session_mode="request")
            with trace.get_tracer("app").start_as_current_span("GET /", kind=SpanKind.SERVER):
                everylayer.record(ValueError("once"), handled=handled)
            session = scope._session
            assert session is not None
            assert session.errors == 1
            assert (session.status == "crashed") is (counted == "crashed")


def test_warnings_of_ours_are_no_events(telemetry: Telemetry) -> None:
    @contained
    def broken() -> None:
        raise RuntimeError("ours")

    options = {**BARE, "integrations": [LoggingIntegration()]}
    with initialised(**options) as kept:
        broken()
        logging.getLogger("shop").error("theirs")
    (event,) = kept.events
    assert event["logger"] == "shop"
    assert event["breadcrumbs"]["values"][0]["category"] == "everylayer"


def test_what_a_log_line_tells_is_told_once(telemetry: Telemetry) -> None:
    options = {**BARE, "integrations": [LoggingIntegration(), DedupeIntegration()]}
    with initialised(**options) as kept:
        configure(sentry="capture")
        with (
            contextlib.suppress(ValueError),
            trace.get_tracer("app").start_as_current_span("GET /", kind=SpanKind.SERVER),
        ):
            try:
                raise ValueError("logged")
            except ValueError as error:
                logging.getLogger("shop").exception("it failed")
                everylayer.record(error)
                raise
    (event,) = kept.events
    assert mechanism(event)["type"] == "logging"
    attributes = server_span(telemetry.spans).attributes or {}
    assert attributes["sentry.event_id"] == event["event_id"]
