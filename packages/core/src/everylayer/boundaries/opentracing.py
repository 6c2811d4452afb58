"""The propagator `everylayer-ot`: OpenTracing-style keys, for fleets that speak both."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from opentelemetry import baggage as context_baggage
from opentelemetry import trace
from opentelemetry.context import Context, create_key, get_value, set_value
from opentelemetry.propagators.textmap import CarrierT, Getter, Setter
from opentelemetry.trace import Span, SpanContext, TraceFlags

from .. import settings
from ..failsafe import contained
from . import baggage
from .carrying import BaggagePropagator
from .malformed import count

TRACE_ID = "ot-trace-id"
SPAN_ID = "ot-span-id"
PARENT_ID = "ot-parent-span-id"
SAMPLED = "ot-sampled"
BAGGAGE = "ot-baggage-"

# Tracers of 64-bit ids leave out leading zeros.
_TRACE = re.compile(r"(?!0+$)[0-9a-fA-F]{1,32}")
_SPAN = re.compile(r"(?!0+$)[0-9a-fA-F]{1,16}")
_64_BITS = 1 << 64
_DECISIONS = {"true": True, "1": True, "false": False, "0": False}
# As gRPC takes it, which knows no capitals, and wants bytes for what ends in `-bin`.
_KEY = re.compile(r"(?!.*-bin$)[0-9a-z_.-]{1,256}")
_MAX_VALUE = 4096
# Names of headers that are looked at: a peer may send any number.
_MAX_NAMES = 1024
# Stands for values of one key that differ: no field takes it.
_DIFFERING = "\n"
# (id of the remote span, id of its parent): who hands it on without a span of its own keeps both.
_PARENT = create_key("everylayer-ot-parent")


class OpenTracingPropagator(BaggagePropagator):
    """Carries ids as `ot-trace-id`, `ot-span-id`, `ot-parent-span-id`, `ot-sampled`.

    It stands after another one: `OTEL_PROPAGATORS=tracecontext,baggage,everylayer-ot`. Where that
    has found a span's context, that one counts; both write theirs. Baggage, as `ot-baggage-*`, is
    held to the settings `baggage_keys` and `trusted_peers`.

    Args:
        **values: settings, over `configure()` and `EVERYLAYER_*`.

    Raises:
        SettingsError: for an unknown setting or a value that does not fit.
    """

    @property
    def fields(self) -> set[str]:
        """The keys that `inject` sets, besides those of baggage."""
        return {TRACE_ID, SPAN_ID, PARENT_ID, SAMPLED}

    @contained
    def _with_span(
        self, carrier: CarrierT, context: Context, getter: Getter[CarrierT]
    ) -> Context | None:
        before = trace.get_current_span(context).get_span_context()
        if before.is_remote and before.is_valid:
            return context
        return _with_ids(carrier, context, getter)

    @contained
    def _put_span(
        self, carrier: CarrierT, context: Context | None, setter: Setter[CarrierT]
    ) -> None:
        span = trace.get_current_span(context)
        ids = span.get_span_context()
        if not ids.is_valid:
            return
        # What came with 64 bits goes on with them: its tracer may know no others.
        digits = 16 if ids.trace_id < _64_BITS else 32
        setter.set(carrier, TRACE_ID, f"{ids.trace_id:0{digits}x}")
        setter.set(carrier, SPAN_ID, f"{ids.span_id:016x}")
        parent_id = _parent_of(span, ids.span_id, context)
        if parent_id:
            setter.set(carrier, PARENT_ID, f"{parent_id:016x}")
        setter.set(carrier, SAMPLED, "true" if ids.trace_flags.sampled else "false")

    @contained
    def _with_baggage(
        self,
        carrier: CarrierT,
        context: Context,
        getter: Getter[CarrierT],
        rules: settings.Settings,
    ) -> Context:
        allowed = baggage.allowed(rules.baggage_keys)
        room, left = baggage.MAX_BYTES, baggage.MAX_ENTRIES
        for name in _names(carrier, getter):
            key = name[len(BAGGAGE) :].lower()
            if key not in allowed or not left:
                continue
            value = (_one(carrier, name, getter) or [_DIFFERING])[0]
            well_formed = len(value) <= _MAX_VALUE and value.isascii() and value.isprintable()
            if not (_KEY.fullmatch(key) and well_formed):
                count(f"{BAGGAGE}*")
                continue
            size = len(name) + len(value)
            if size <= room:
                room -= size
                left -= 1
                context = context_baggage.set_baggage(key, baggage.decoded(value), context)
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
        room, left = baggage.MAX_BYTES, baggage.MAX_ENTRIES
        for key, value in context_baggage.get_all(context).items():
            if key not in allowed or not _KEY.fullmatch(key) or not isinstance(value, str):
                continue
            encoded = baggage.encoded(value)
            size = len(BAGGAGE) + len(key) + len(encoded)
            if len(encoded) <= _MAX_VALUE and size <= room and left:
                room -= size
                left -= 1
                setter.set(carrier, BAGGAGE + key, encoded)


def _with_ids(carrier: CarrierT, context: Context, getter: Getter[CarrierT]) -> Context | None:
    said = {key: _one(carrier, key, getter) for key in (TRACE_ID, SPAN_ID)}
    if not any(said.values()):
        return None
    trace_id = _read(said, TRACE_ID, _TRACE)
    span_id = _read(said, SPAN_ID, _SPAN)
    if not trace_id or not span_id:
        return None
    said |= {key: _one(carrier, key, getter) for key in (PARENT_ID, SAMPLED)}
    decision = (said[SAMPLED] or ["true"])[0]
    if decision.lower() not in _DECISIONS:
        count(SAMPLED)
    # One that says nothing has left it open, and none of its traces should be missing.
    flags = TraceFlags(_DECISIONS.get(decision.lower(), True))
    remote = SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags)
    parent_id = _read(said, PARENT_ID, _SPAN) if said[PARENT_ID] else 0
    if parent_id:
        context = set_value(_PARENT, (span_id, parent_id), context)
    return trace.set_span_in_context(trace.NonRecordingSpan(remote), context)


def _one(carrier: CarrierT, key: str, getter: Getter[CarrierT]) -> list[str]:
    """Return the value of `key`, as text, in a list that is empty without one."""
    values = [str(value) for value in getter.get(carrier, key) or ()]
    return values[:1] if len(set(values)) <= 1 else [_DIFFERING]


def _read(said: dict[str, list[str]], key: str, pattern: re.Pattern[str]) -> int:
    value = said[key][0].strip(" \t") if said[key] else ""
    if pattern.fullmatch(value):
        return int(value, 16)
    count(key)
    return 0


def _parent_of(span: Span, span_id: int, context: Context | None) -> int:
    parent: Any = getattr(span, "parent", None)
    if parent is not None:
        return int(parent.span_id)
    kept: Any = get_value(_PARENT, context)
    return int(kept[1]) if kept is not None and kept[0] == span_id else 0


def _names(carrier: CarrierT, getter: Getter[CarrierT]) -> Iterator[str]:
    for name in getter.keys(carrier)[:_MAX_NAMES]:
        if isinstance(name, str) and name[: len(BAGGAGE)].lower() == BAGGAGE:
            yield name
