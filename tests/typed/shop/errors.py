"""Errors that the app's own code deals with, and what it asks of them later."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from opentelemetry import propagate, trace
from typing_extensions import assert_type

import everylayer


def set_up() -> None:
    settings = everylayer.configure(
        client_errors="all", expected=(TimeoutError,), max_events=4, tenant="header"
    )
    assert_type(settings, everylayer.Settings)
    assert_type(settings.max_events, int)
    propagate.set_global_textmap(everylayer.Propagator(baggage_keys=("app.plan",)))
    handler = logging.StreamHandler()
    handler.addFilter(everylayer.TraceFilter())


def answer(error: Exception) -> str:
    everylayer.record(error, layer="billing", handled=True)
    origin = everylayer.trace_of(error)
    assert_type(origin, everylayer.ErrorOrigin | None)
    if origin is None:
        return "unknown"
    return f"{origin.trace_id} {origin.span_id} {origin.layer}"


def through_a_queue(error: Exception) -> None:
    message = everylayer.error_to_json(error, layer="billing")
    assert_type(message, str)
    received = everylayer.error_from_json(message)
    assert_type(received.record, everylayer.ErrorRecord)
    everylayer.record_remote(received, handled=False)


def tenants() -> None:
    with everylayer.use_tenant("acme"):
        assert_type(everylayer.tenant(), str | None)
        assert_type(everylayer.tenant_label(), str | None)
    labels = everylayer.BoundedValues(limit=10)
    assert_type(labels("acme"), str)


def secrets(card: str) -> None:
    assert_type(everylayer.sensitive(card, kind="card"), str)
    trace.get_current_span().add_event("charged")


def operations() -> None:
    assert_type(everylayer.own_failures(), Mapping[str, int])
    assert_type(everylayer.malformed_input(), Mapping[str, int])
    found = everylayer.snapshot()
    assert_type(found.text(), str)


def whoever(name: str) -> everylayer.Layer:
    try:
        everylayer.configure(redaction="strict")
    except everylayer.SettingsError as error:
        raise SystemExit(str(error)) from error
    return everylayer.Layer(name, "work")
