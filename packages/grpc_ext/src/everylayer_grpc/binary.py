"""The propagator `everylayer-grpc-bin`: the span's ids as bytes, which no text proxy reads.

Source: census-instrumentation/opencensus-specs, encodings/BinaryEncoding.md, trace context, version
0. The key is another one: gRPC's core keeps `grpc-trace-bin` to itself, no Python server sees it.
"""

from __future__ import annotations

from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context, get_current
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)
from opentelemetry.trace import SpanContext, TraceFlags

from everylayer.boundaries.malformed import count
from everylayer.failsafe import contained

KEY = "everylayer-trace-bin"
_VERSION = 0
# Of each field its id and the bytes that follow: trace id, span id, flags.
_LENGTHS = (16, 8, 1)
# Whose metadata take bytes: of anything else, HTTP's headers say, nothing is known.
_OF_GRPC = ("opentelemetry.instrumentation.grpc", "everylayer_grpc")


class BinaryPropagator(TextMapPropagator):
    """Carries the span's ids as bytes beside another propagator's text, and rather believes them.

    It stands last: `OTEL_PROPAGATORS=tracecontext,baggage,everylayer-grpc-bin`. What is no gRPC
    metadata it leaves alone.

    Args:
        key: of the metadata; it ends in `-bin`.

    Raises:
        ValueError: `key` does not.
    """

    def __init__(self, key: str = KEY) -> None:
        if not key.endswith("-bin"):
            raise ValueError(f"key is {key!r:.100}; gRPC takes bytes for a key that ends in -bin")
        self._key = key

    @property
    def fields(self) -> set[str]:
        """The one key that `inject` sets."""
        return {self._key}

    def extract(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        getter: Getter[CarrierT] = default_getter,
    ) -> Context:
        """Return `context` with the span that `carrier` brings; never raises."""
        found = get_current() if context is None else context
        return _with_ids(getter.get(carrier, self._key), found) or found

    def inject(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        setter: Setter[CarrierT] = default_setter,
    ) -> None:
        """Put the ids of the current span of `context` into `carrier`."""
        ids = trace.get_current_span(context).get_span_context()
        # Metadata of gRPC's, which take bytes.
        if ids.is_valid and type(setter).__module__.startswith(_OF_GRPC):
            value: Any = encode(ids)
            setter.set(carrier, self._key, value)


def encode(ids: SpanContext) -> bytes:
    """Return the 29 bytes for `ids`."""
    fields = (
        ids.trace_id.to_bytes(16, "big"),
        ids.span_id.to_bytes(8, "big"),
        bytes([ids.trace_flags]),
    )
    return bytes([_VERSION]) + b"".join(bytes([n]) + field for n, field in enumerate(fields))


def decode(data: bytes) -> SpanContext | None:
    """Return the ids in `data`, None for what holds none.

    Fields come in the order of their ids; from the first unknown one on nothing is read.
    """
    if data[:1] != bytes([_VERSION]):
        return None
    found: list[int] = []
    at = 1
    for number, length in enumerate(_LENGTHS):
        field = data[at + 1 : at + 1 + length]
        if data[at : at + 1] != bytes([number]):
            break
        if len(field) < length:
            return None
        found.append(int.from_bytes(field, "big"))
        at += 1 + length
    if len(found) < 2:
        return None
    flags = TraceFlags(found[2] if len(found) > 2 else 0)
    ids = SpanContext(found[0], found[1], is_remote=True, trace_flags=flags)
    return ids if ids.is_valid else None


@contained
def _with_ids(values: list[Any] | None, context: Context) -> Context | None:
    if not values:
        return None
    # OpenTelemetry's getter of plain dictionaries takes bytes for a list of numbers.
    ids = decode(values[0] if isinstance(values[0], bytes) else _joined(values))
    if ids is None:
        count(KEY)
        return None
    text = trace.get_current_span(context).get_span_context()
    if (text.trace_id, text.span_id) == (ids.trace_id, ids.span_id) and text.is_remote:
        return None  # That one knows the tracestate too.
    return trace.set_span_in_context(trace.NonRecordingSpan(ids), context)


def _joined(values: list[Any]) -> bytes:
    fits = all(isinstance(value, int) and 0 <= value < 256 for value in values)
    return bytes(values) if fits else b""
