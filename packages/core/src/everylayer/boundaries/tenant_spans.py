"""The tenant on each span that begins while it is set, and in what goes on to other services."""

from __future__ import annotations

from typing import Any

from opentelemetry import baggage, propagate
from opentelemetry.context import Context, get_current
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)
from opentelemetry.trace import Span, SpanKind

from ..failsafe import contained
from ..forks import ForkLock
from ..sinks.attributes import TENANT
from .tenant import CURRENT

try:
    from opentelemetry.sdk.trace import SpanProcessor
except ImportError as error:
    raise ImportError(
        "everylayer.TenantSpanProcessor works on the SDK's spans: pip install opentelemetry-sdk"
    ) from error

_MARK = "_everylayer_tenant"
_lock = ForkLock()


class TenantSpanProcessor(SpanProcessor):
    """Sets `app.tenant.id` on each span that begins while a tenant is set.

    Left out are INTERNAL spans of OpenTelemetry's own instrumentations, such as `http send`.
    everylayer adds one to the global provider; add one to any other by hand.
    """

    @contained
    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Name the tenant."""
        name = CURRENT.get()
        if name and not _is_plumbing(span):
            span.set_attribute(TENANT, name)


def _is_plumbing(span: Any) -> bool:
    """Tell whether `span` shows how something works: of each ASGI message stock makes one."""
    return span.kind is SpanKind.INTERNAL and str(span.instrumentation_scope.name).startswith(
        "opentelemetry.instrumentation."
    )


class Onward(TextMapPropagator):
    """Puts the tenant into outgoing baggage, over what lies in the context under its key.

    In a request without a tenant the key is left out: what came in was a claim that nobody took.
    """

    def __init__(self, inner: TextMapPropagator) -> None:
        self._inner = inner
        self.keys: frozenset[str] = frozenset()

    @property
    def fields(self) -> set[str]:
        """Return the fields that the propagators in use write."""
        return self._inner.fields

    def extract(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        getter: Getter[CarrierT] = default_getter,
    ) -> Context:
        """Take in what the propagators in use take in."""
        return self._inner.extract(carrier, context, getter)

    def inject(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        setter: Setter[CarrierT] = default_setter,
    ) -> None:
        """Send on what the propagators in use send on, and the tenant."""
        self._inner.inject(carrier, self._with_tenant(context), setter)

    def _with_tenant(self, context: Context | None) -> Context | None:
        name = CURRENT.get()
        if name is None:
            return context
        context = get_current() if context is None else context
        for key in self.keys:
            if name:
                context = baggage.set_baggage(key, name, context)
            elif baggage.get_baggage(key, context) is not None:
                context = baggage.remove_baggage(key, context)
        return context


@contained
def equip(provider: Any) -> None:
    """Let `provider` name the tenant on its spans, once."""
    with _lock:
        if hasattr(provider, "add_span_processor") and not hasattr(provider, _MARK):
            setattr(provider, _MARK, True)
            provider.add_span_processor(TenantSpanProcessor())


@contained
def send_on(key: str) -> None:
    """Let outgoing baggage carry the tenant under `key`."""
    with _lock:
        current = propagate.get_global_textmap()
        if not isinstance(current, Onward):
            current = Onward(current)
            propagate.set_global_textmap(current)
        current.keys |= {key}
