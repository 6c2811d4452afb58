"""The propagator `everylayer`: the span's context, and of the rest what is allowed.

Instrumentations extract before a request reaches any layer, and what they extract from is the ASGI
scope or the WSGI environ: a propagator knows the peer there, and nothing has acted on a claim yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry import baggage as context_baggage
from opentelemetry.context import Context, get_current
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from .. import settings
from ..failsafe import contained
from . import baggage, trust

HEADER = "baggage"


class Propagator(TextMapPropagator):
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
        made = settings.resolve(values)
        self._span_context = span_context or TraceContextTextMapPropagator()
        # Else those in force: one that a variable has put in place is older than `configure()`.
        self._own = made if values else None

    def extract(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        getter: Getter[CarrierT] = default_getter,
    ) -> Context:
        """Return `context` with what `carrier` brings of what is believed; never raises."""
        before = get_current() if context is None else context
        if trust.is_scope(carrier):
            getter = SCOPE
        found = self._span_of(carrier, before, getter) or before
        rules = self._own or settings.current()
        if rules.baggage_keys and trust.trusts(rules.trusted_peers, carrier):
            return _with_baggage(carrier, found, getter, rules) or found
        return found

    def inject(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        setter: Setter[CarrierT] = default_setter,
    ) -> None:
        """Put the span's context and the allowed baggage of `context` into `carrier`."""
        self._span_context.inject(carrier, context, setter)
        rules = self._own or settings.current()
        if rules.baggage_keys:
            _put_baggage(carrier, context, setter, rules)

    @property
    def fields(self) -> set[str]:
        """The headers that `inject` sets."""
        return {*self._span_context.fields, HEADER}

    @contained
    def _span_of(
        self, carrier: CarrierT, context: Context, getter: Getter[CarrierT]
    ) -> Context | None:
        return self._span_context.extract(carrier, context, getter)


@contained
def _put_baggage(
    carrier: CarrierT, context: Context | None, setter: Setter[CarrierT], rules: settings.Settings
) -> None:
    allowed = baggage.allowed(rules.baggage_keys)
    value = baggage.written(context_baggage.get_all(context), allowed)
    if value:
        setter.set(carrier, HEADER, value)


@contained
def _with_baggage(
    carrier: CarrierT, context: Context, getter: Getter[CarrierT], rules: settings.Settings
) -> Context:
    headers = getter.get(carrier, HEADER) or ()
    for key, value in baggage.read(headers, baggage.allowed(rules.baggage_keys)).items():
        context = context_baggage.set_baggage(key, value, context)
    return context


class _ScopeGetter(Getter[Any]):
    """Reads an ASGI scope. Stock's raises on bytes that are no text, of any header's name too."""

    def get(self, carrier: Mapping[str, Any], key: str) -> list[str] | None:
        wanted = key.lower().encode()
        found = [v.decode("latin-1") for k, v in carrier["headers"] if k.lower() == wanted]
        return found or None

    def keys(self, carrier: Mapping[str, Any]) -> list[str]:
        return [key.decode("latin-1") for key, _ in carrier["headers"]]


SCOPE: Getter[Any] = _ScopeGetter()
