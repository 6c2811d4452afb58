"""The server span of an HTTP request that nobody else begins one for, whatever its protocol."""

from __future__ import annotations

import functools
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.instrumentation.utils import is_http_instrumentation_enabled
from opentelemetry.trace import Span, SpanKind

from .failsafe import contained
from .text import clean

_MODE = "sem_conv_opt_in_mode"
_OLD_STATUS, _STATUS = "http.status_code", "http.response.status_code"
_STATUS_NAMES = {"http": (_STATUS,), "http/dup": (_OLD_STATUS, _STATUS)}


def provider_configured() -> bool:
    """Tell whether the process has a tracer provider, so that a span goes anywhere."""
    provider = trace.get_tracer_provider()
    return not isinstance(provider, (trace.ProxyTracerProvider, trace.NoOpTracerProvider))


def wanted() -> bool:
    """Tell whether anybody would see a server span of ours, and nobody has ruled it out."""
    return provider_configured() and is_http_instrumentation_enabled()


def start(
    name: str | None,
    parent: Context | None,
    attributes: dict[str, Any] | None,
    start_ns: int,
    status: int | None,
) -> Span:
    """Start a server span, also after the fact.

    Args:
        name: what the instrumentation would call it; None where it fails to.
        parent: what the request's headers carry.
        attributes: what the instrumentation collects from the request, clean.
        start_ns: when the request began, nanoseconds since the epoch.
        status: of the response, None where there was none or it is still to come.
    """
    span = trace.get_tracer("everylayer").start_span(
        clean(name or "HTTP"),
        context=parent,
        kind=SpanKind.SERVER,
        start_time=start_ns,
        attributes=attributes,
    )
    if status is not None:
        mode = getattr(opted_in().get(_MODE), "value", "")
        for key in _STATUS_NAMES.get(mode, (_OLD_STATUS,)):
            span.set_attribute(key, status)
    return span


@functools.cache
def opted_in() -> dict[str, Any]:
    """Return the keyword with which the instrumentations' functions name what they collect.

    As they do themselves, `OTEL_SEMCONV_STABILITY_OPT_IN` is read once in a process.
    """
    return _asked_for() or {}


@contained
def _asked_for() -> dict[str, Any]:
    from opentelemetry.instrumentation import _semconv

    stability = _semconv._OpenTelemetrySemanticConventionStability
    stability._initialize()  # type: ignore[no-untyped-call]
    signal = _semconv._OpenTelemetryStabilitySignalType.HTTP
    return {_MODE: stability._get_opentelemetry_stability_opt_in_mode(signal)}
