"""The propagator `everylayer`: the span's context, and of the rest what is allowed.

Instrumentations extract before a request reaches any layer, and what they extract from is the ASGI
scope or the WSGI environ: a propagator knows the peer there, and nothing has acted on a claim yet.
"""

from __future__ import annotations

from typing import Any

from opentelemetry import baggage as context_baggage
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import CarrierT, Getter, Setter, TextMapPropagator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from .. import settings
from ..failsafe import contained
from . import baggage
from .carrying import BaggagePropagator

HEADER = "baggage"


class Propagator(BaggagePropagator):
    """Carries the span's context, and the baggage that the settings `baggage_keys` allow.

    Baggage is taken in from the setting `trusted_peers` alone: with none, from nobody. The span's
    context is taken from everybody. `OTEL_PROPAGATORS=everylayer` puts it in place for a process.

    Args:
        span_context: what carries the span's context; None: W3C Trace Context.
        **values: settings, over `configure()` and `EVERYLAYER_*`.

    Raises:
        SettingsError: for an unknown setting or a value that does not fit.
    """

    def __init__(self, span_context: TextMapPropagator | None = None, **values: Any) -> None:
        super().__init__(**values)
        self._span_context = span_context or TraceContextTextMapPropagator()

    @property
    def fields(self) -> set[str]:
        """The headers that `inject` sets."""
        return {*self._span_context.fields, HEADER}

    @contained
    def _with_span(
        self, carrier: CarrierT, context: Context, getter: Getter[CarrierT]
    ) -> Context | None:
        return self._span_context.extract(carrier, context, getter)

    def _put_span(
        self, carrier: CarrierT, context: Context | None, setter: Setter[CarrierT]
    ) -> None:
        self._span_context.inject(carrier, context, setter)

    @contained
    def _with_baggage(
        self,
        carrier: CarrierT,
        context: Context,
        getter: Getter[CarrierT],
        rules: settings.Settings,
    ) -> Context:
        headers = getter.get(carrier, HEADER) or ()
        for key, value in baggage.read(headers, baggage.allowed(rules.baggage_keys)).items():
            context = context_baggage.set_baggage(key, value, context)
        return context

    @contained
    def _put_baggage(
        self,
        carrier: CarrierT,
        context: Context | None,
        setter: Setter[CarrierT],
        rules: settings.Settings,
    ) -> None:
        allowed = baggage.allowed(rules.baggage_keys)
        value = baggage.written(context_baggage.get_all(context), allowed)
        if value:
            setter.set(carrier, HEADER, value)
