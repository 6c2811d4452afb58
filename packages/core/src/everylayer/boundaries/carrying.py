"""What propagators have in common: whatever a carrier holds, they read and write on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.context import Context, get_current
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)

from .. import settings
from . import trust


class BaggagePropagator(TextMapPropagator):
    """Carries the span's context, and baggage: allowed keys, and in from trusted peers alone.

    How, four methods say.

    Args:
        **values: settings, over `configure()` and `EVERYLAYER_*`.

    Raises:
        SettingsError: for an unknown setting or a value that does not fit.
    """

    def __init__(self, **values: Any) -> None:
        made = settings.resolve(values)
        # Else those in force: one that a variable has put in place is older than `configure()`.
        self._own = made if values else None

    def extract(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        getter: Getter[CarrierT] = default_getter,
    ) -> Context:
        """Return `context` with what `carrier` brings of what is believed; never raises."""
        found = get_current() if context is None else context
        if trust.is_scope(carrier):
            getter = SCOPE
        found = self._with_span(carrier, found, getter) or found
        rules = self._own or settings.current()
        if rules.baggage_keys and trust.trusts(rules.trusted_peers, carrier):
            return self._with_baggage(carrier, found, getter, rules) or found
        return found

    def inject(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        setter: Setter[CarrierT] = default_setter,
    ) -> None:
        """Put the context of the current span, and the allowed baggage, into `carrier`."""
        self._put_span(carrier, context, setter)
        rules = self._own or settings.current()
        if rules.baggage_keys:
            self._put_baggage(carrier, context, setter, rules)

    def _with_span(
        self, carrier: CarrierT, context: Context, getter: Getter[CarrierT]
    ) -> Context | None:
        raise NotImplementedError

    def _put_span(
        self, carrier: CarrierT, context: Context | None, setter: Setter[CarrierT]
    ) -> None:
        raise NotImplementedError

    def _with_baggage(
        self,
        carrier: CarrierT,
        context: Context,
        getter: Getter[CarrierT],
        rules: settings.Settings,
    ) -> Context | None:
        raise NotImplementedError

    def _put_baggage(
        self,
        carrier: CarrierT,
        context: Context | None,
        setter: Setter[CarrierT],
        rules: settings.Settings,
    ) -> None:
        raise NotImplementedError


class _ScopeGetter(Getter[Any]):
    """Reads an ASGI scope. Stock's raises on bytes that are no text, of any header's name too."""

    def get(self, carrier: Mapping[str, Any], key: str) -> list[str] | None:
        wanted = key.lower().encode()
        found = [v.decode("latin-1") for k, v in carrier["headers"] if k.lower() == wanted]
        return found or None

    def keys(self, carrier: Mapping[str, Any]) -> list[str]:
        return [key.decode("latin-1") for key, _ in carrier["headers"]]


SCOPE: Getter[Any] = _ScopeGetter()
