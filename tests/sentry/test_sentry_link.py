"""What the app has set stays, what is not ours is left alone, and nothing stays behind."""

from __future__ import annotations

import contextlib
import gc
import logging
import sys
import threading
import weakref
from typing import Any

import pytest
import sentry_sdk
from opentelemetry import trace
from opentelemetry.sdk.trace import Span
from opentelemetry.trace import SpanKind, format_span_id, format_trace_id
from sentry_sdk import scope as sentry_scope

import everylayer
from contract.telemetry import Telemetry, error_events, server_span
from everylayer import configure, own_failures, spans
from everylayer.boundaries.aftermath import settle
from everylayer.ledger import Ledger
from everylayer.observer import observe
from everylayer.settings import SettingsError, resolve
from everylayer.sinks.sentry import switch
from sentry_kit import SENTRY_URL, TRACE_URL, Kept, initialised, loop_problems, mechanism, types


class Custom(Exception):
    """An exception that takes weak references."""


def raised(exc: BaseException) -> BaseException:
    try:
        raise exc
    except type(exc):
        return exc


def serving(**settings: Any) -> Any:
    """Configure the process and begin a server span."""
    configure(trace_url=TRACE_URL, sentry_url=SENTRY_URL, **settings)
    tracer = trace.get_tracer("app")
    return tracer.start_as_current_span("GET /", kind=SpanKind.SERVER)


def test_captured_by_the_app_then_recorded(telemetry: Telemetry, sentry: Kept) -> None:
    with serving(sentry="capture"):
        error = raised(ValueError("once"))
        sentry_sdk.capture_exception(error)
        everylayer.record(error, layer="billing")
    (event,) = sentry.events
    assert loop_problems(telemetry.spans, event) == []


class Hostile(Exception):
    """Nobody may look at it, as some proxies of remote errors have it."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


def test_an_error_that_sentry_cannot_read_has_an_event_all_the_same(
    telemetry: Telemetry, sentry: Kept
) -> None:
    before = dict(own_failures())
    with serving(sentry="capture"):
        try:
            try:
                raise Hostile("no look")
            except Hostile as hidden:
                raise ValueError("outer") from hidden
        except ValueError as outer:
            everylayer.record(outer)
    assert dict(own_failures()) == before
    (event,) = sentry.events
    assert types(event) == ["ValueError", "Hostile"]
    assert mechanism(event)["type"] == "everylayer"
    innermost = event["exception"]["values"][-1]["stacktrace"]["frames"][-1]
    assert innermost["function"].startswith("test_an_error_that_sentry_cannot_read")
    (found,) = error_events(telemetry.spans)
    assert (found.event.attributes or {})["sentry.event_id"] == event["event_id"]


def test_recorded_then_captured_by_the_app(telemetry: Telemetry, sentry: Kept) -> None:
    with serving():
        error = raised(ValueError("once"))
        everylayer.record(error, layer="billing")
        with trace.get_tracer("app").start_as_current_span("elsewhere"):
            sentry_sdk.capture_exception(error)
    (event,) = sentry.events
    assert event["tags"]["everylayer.layer"] == "billing"
    span = server_span(telemetry.spans)
    assert span.context is not None
    assert event["contexts"]["trace"]["span_id"] == format_span_id(span.context.span_id)
    assert loop_problems(telemetry.spans, event) == []


def test_what_nobody_captures_is_captured(telemetry: Telemetry, sentry: Kept) -> None:
    with serving(sentry="capture"):
        everylayer.record(raised(ValueError("handled")), layer="billing", handled=True)
    (event,) = sentry.events
    assert mechanism(event) == {"type": "everylayer", "handled": True}
    assert loop_problems(telemetry.spans, event) == []


def test_a_translated_error_is_one_event(telemetry: Telemetry, sentry: Kept) -> None:
    with serving(sentry="capture"):
        first = raised(KeyError("first"))
        second = ValueError("second")
        second.__cause__ = first
        everylayer.record(first)
        everylayer.record(raised(second))
    (event,) = sentry.events
    assert types(event) == ["ValueError", "KeyError"]
    ids = {(e.event.attributes or {}).get("sentry.event_id") for e in error_events(telemetry.spans)}
    assert ids == {event["event_id"]}


@pytest.mark.parametrize(("setting", "events"), [("link", 2), ("capture", 1)])
def test_told_twice_by_others(
    telemetry: Telemetry, sentry: Kept, setting: str, events: int
) -> None:
    """Sentry's own memory of what it has captured does not reach into another task."""
    with serving(sentry=setting):
        error = raised(ValueError("once"))
        everylayer.record(error)
        for _ in range(2):
            sentry_sdk.capture_exception(error)
    assert len(sentry.events) == events
    assert loop_problems(telemetry.spans, sentry.events[0]) == []


def test_an_error_within_one_that_was_told_is_told_too(telemetry: Telemetry, sentry: Kept) -> None:
    with serving(sentry="capture"):
        outer, inner = ValueError("outer"), raised(KeyError("inner"))
        outer.__cause__ = inner
        sentry_sdk.capture_exception(raised(outer))
        sentry_sdk.capture_exception(inner)
    assert [types(event)[0] for event in sentry.events] == ["ValueError", "KeyError"]


def test_no_late_span_is_begun_for_an_error_that_is_written(
    telemetry: Telemetry, sentry: Kept
) -> None:
    ledger = Ledger(configure(sentry="link"))
    with trace.get_tracer("app").start_as_current_span("GET /", kind=SpanKind.SERVER) as span:
        error = raised(ValueError("once"))
        observe(error, ledger=ledger)
        sentry_sdk.capture_exception(error)
        ledger.responded(500)
    assert spans.ended(span)
    sentry_sdk.capture_exception(error)
    ledger.close(error)
    context = span.get_span_context()
    for event in sentry.events:
        assert event["contexts"]["otel"]["span_id"] == format_span_id(context.span_id)
    assert len(sentry.events) == 2
    assert len(telemetry.spans) == 1


@pytest.mark.skipif(sys.version_info < (3, 11), reason="no groups")
def test_a_group_that_an_error_comes_from_keeps_its_members(
    telemetry: Telemetry, sentry: Kept
) -> None:
    def both() -> None:
        try:
            raise ExceptionGroup("both", [KeyError("first"), TypeError("second")])
        except ExceptionGroup as group:
            raise ValueError("outer") from group

    with serving(sentry="capture"):
        try:
            both()
        except ValueError as error:
            everylayer.record(error)
    (event,) = sentry.events
    assert types(event) == ["ValueError", "ExceptionGroup", "KeyError", "TypeError"]
    links = [value["mechanism"] for value in reversed(event["exception"]["values"])]
    assert [link["exception_id"] for link in links] == [0, 1, 2, 3]
    assert [link.get("parent_id", 0) for link in links] == [0, 0, 1, 1]
    assert mechanism(event)["type"] == "everylayer"


def test_what_the_app_has_set_stays(telemetry: Telemetry, sentry: Kept) -> None:
    own = {"trace_id": "1" * 32, "span_id": "2" * 16}
    with serving(), sentry_sdk.new_scope() as scope:
        scope.set_context("trace", own)
        scope.set_context("otel", {"span_id": "mine", "more": 1})
        scope.set_tag("otel.trace_id", "mine")
        sentry_sdk.capture_exception(raised(ValueError("once")))
        assert scope._contexts["otel"] == {"span_id": "mine", "more": 1}
    (event,) = sentry.events
    span = server_span(telemetry.spans)
    assert span.context is not None
    assert event["contexts"]["trace"] == own
    assert event["contexts"]["otel"]["span_id"] == "mine"
    assert event["contexts"]["otel"]["more"] == 1
    assert event["contexts"]["otel"]["trace_id"] == format_trace_id(span.context.trace_id)
    assert event["tags"]["otel.trace_id"] == "mine"


@pytest.mark.parametrize("taken", [True, False])
def test_with_the_propagation_context_taken_or_free(
    telemetry: Telemetry, sentry: Kept, taken: bool
) -> None:
    remove = getattr(sentry_scope, "remove_external_propagation_context", None)
    if remove is None:
        pytest.skip("this sentry-sdk has no external propagation context")
    if taken:
        sentry_scope.register_external_propagation_context(lambda: ("3" * 32, "4" * 16))
    try:
        with serving():
            sentry_sdk.capture_exception(raised(ValueError("once")))
    finally:
        remove()
    assert loop_problems(telemetry.spans, sentry.events[0]) == []


def test_a_message_is_linked_too(telemetry: Telemetry, sentry: Kept) -> None:
    with serving():
        sentry_sdk.capture_message("hello", level="info")
        sentry_sdk.capture_message("broken", level="error")
    hello, broken = sentry.events
    attributes = server_span(telemetry.spans).attributes or {}
    assert attributes["sentry.event_id"] == broken["event_id"]
    assert hello["contexts"]["otel"] == broken["contexts"]["otel"]


def test_without_a_span_an_event_is_left_alone(telemetry: Telemetry, sentry: Kept) -> None:
    configure(trace_url=TRACE_URL)
    sentry_sdk.capture_exception(raised(ValueError("nowhere")))
    (event,) = sentry.events
    assert "otel" not in event["contexts"]
    assert not event.get("tags")


def test_off(telemetry: Telemetry, sentry: Kept) -> None:
    with serving(sentry="off"):
        error = raised(ValueError("once"))
        sentry_sdk.capture_exception(error)
        everylayer.record(error)
    assert "otel" not in sentry.events[0]["contexts"]
    assert switch.link is None
    assert "sentry.event_id" not in (server_span(telemetry.spans).attributes or {})


def test_the_same_object_again_in_another_request(telemetry: Telemetry, sentry: Kept) -> None:
    error = ValueError("a singleton")
    for _ in range(2):
        with serving(sentry="capture"):
            everylayer.record(raised(error))
    assert len(sentry.events) == 2
    for event in sentry.events:
        assert loop_problems(telemetry.spans, event) == []


def test_a_failure_of_ours_loses_no_event(
    telemetry: Telemetry, sentry: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("broken")

    before = sum(own_failures().values())
    with serving():
        from everylayer.sinks.sentry import events

        monkeypatch.setattr(events, "fill", broken)
        sentry_sdk.capture_exception(raised(ValueError("once")))
    assert len(sentry.events) == 1
    assert sum(own_failures().values()) == before + 1


def test_installed_once_and_removed(sentry: Kept) -> None:
    before = list(sentry_scope.global_event_processors)
    for _ in range(3):
        configure(trace_url=TRACE_URL)
    assert len(sentry_scope.global_event_processors) == len(before) + 1
    switch.detach()
    assert sentry_scope.global_event_processors == before
    assert switch.link is None


def test_no_exception_is_kept(telemetry: Telemetry, sentry: Kept) -> None:
    with serving(sentry="capture"):
        error = raised(Custom("gone soon"))
        gone = weakref.ref(error)
        everylayer.record(error)
        del error
    assert len(sentry.events) == 1
    gc.collect()
    assert gone() is None


def test_a_patch_of_the_span_class_hears_of_errors_on_a_guarded_span(
    telemetry: Telemetry, sentry: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Sentry's `OTLPIntegration(capture_exceptions=True)` puts one there."""
    own = Span.record_exception

    def patched(self: Any, exception: BaseException, *args: Any, **kwargs: Any) -> None:
        sentry_sdk.capture_exception(exception)
        own(self, exception, *args, **kwargs)

    monkeypatch.setattr(Span, "record_exception", patched)
    error = ValueError("escapes")
    with contextlib.suppress(ValueError), serving():
        everylayer.record(raised(error))
        raise error
    (event,) = sentry.events
    assert loop_problems(telemetry.spans, event) == []
    assert len(error_events(telemetry.spans)) == 1


def test_capture_without_init_is_said_once(
    telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "everylayer"):
        for _ in range(2):
            with serving(sentry="capture"):
                everylayer.record(raised(ValueError("unsent")))
    assert [r for r in caplog.records if "sentry_sdk.init()" in r.getMessage()][1:] == []
    assert len(error_events(telemetry.spans)) == 2


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"sentry": "always"}, "one of off, link, capture"),
        ({"trace_url": "https://j/{trace}"}, "{trace_id} and {span_id}"),
        ({"trace_url": "jaeger"}, "a URL"),
        ({"sentry_url": "https://s/{event_id"}, "{event_id}"),
    ],
)
def test_a_wrong_setting_is_named(given: dict[str, str], says: str) -> None:
    with pytest.raises(SettingsError) as found:
        resolve(given, environ={})
    assert next(iter(given)) in str(found.value)
    assert says in str(found.value)


def test_unsampled_spans_get_no_dead_link(telemetry: Telemetry) -> None:
    from everylayer.sinks.sentry import events
    from everylayer.sinks.sentry.place import Place

    event: dict[str, Any] = {}
    events.fill(event, Place("a" * 32, "b" * 16, "", False), None, trace_url=TRACE_URL)
    assert event["contexts"]["otel"]["sampled"] is False
    assert "trace_url" not in event["contexts"]["otel"]


def test_two_clients_after_each_other(telemetry: Telemetry, sentry: Kept) -> None:
    with initialised(default_integrations=False, auto_enabling_integrations=False) as second:
        with serving(sentry="capture"):
            everylayer.record(raised(ValueError("once")))
        assert len(second.events) == 1
    assert not sentry.events


class Telling(list[str]):
    """A value that has Sentry capture an error when the span reads it, with its lock held.

    The collector may run there, and a finalizer log an error: of a task that was never retrieved.
    """

    def __iter__(self) -> Any:
        sentry_sdk.capture_exception(raised(ValueError("never retrieved")))
        return super().__iter__()


def test_an_error_captured_while_the_span_is_being_changed(
    telemetry: Telemetry, sentry: Kept
) -> None:
    def work() -> None:
        with serving():
            trace.get_current_span().set_attribute("shop.names", Telling(["espresso"]))
            settle()

    # A daemon: where this fails, the thread waits for itself.
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    (event,) = sentry.events
    span = server_span(telemetry.spans)
    assert dict(span.attributes or {})["sentry.event_id"] == event["event_id"]
