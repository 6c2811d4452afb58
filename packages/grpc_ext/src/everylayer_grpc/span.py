"""The server span of an RPC that nobody else begins one for, and what is said on any.

Source: semantic conventions docs/rpc/grpc.md, and the names that stock still writes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

from grpc import StatusCode
from opentelemetry import propagate, trace
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.context import Context
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.trace import Span, SpanKind, Status, propagation
from opentelemetry.trace import StatusCode as SpanStatus

from everylayer.failsafe import contained
from everylayer.http_span import provider_configured
from everylayer.redaction.guard import redactor_of
from everylayer.settings import Settings
from everylayer.spans import recording
from everylayer.text import clean, clean_values, shorten

RECEIVED = "rpc.message.received"
SENT = "rpc.message.sent"

_SAID = re.compile(r"StatusCode\.([A-Z_]+):")

# Where a context has its span: `get_current_span` would ask that for its class, which is dear.
KEY: str = propagation._SPAN_KEY


def start(
    method: str, metadata: Sequence[tuple[str, Any]], context: Any, start_ns: int | None = None
) -> Span | None:
    """Start the server span of an RPC in the trace that its metadata names.

    Args:
        method: the full name, `/package.Service/Method`.
        metadata: what the client sent.
        context: gRPC's, if the RPC came so far.
        start_ns: when it began, nanoseconds since the epoch.

    Returns:
        None without a provider, and where instrumentation is suppressed.
    """
    if not provider_configured() or not is_instrumentation_enabled():
        return None
    return trace.get_tracer("everylayer").start_span(
        clean(method) or "gRPC",
        context=parent(metadata),
        kind=SpanKind.SERVER,
        start_time=start_ns,
        attributes={**about(method), **(peer_of(context) or {})},
    )


def about(method: str) -> dict[str, Any]:
    """Return what the full name of a method tells."""
    service, _, name = method.lstrip("/").rpartition("/")
    return clean_values({"rpc.system": "grpc", "rpc.service": service, "rpc.method": name})


def tell_code(span: Span, code: StatusCode) -> None:
    """Put `code` on `span`: its name, and the number under its older name."""
    span.set_attributes({"rpc.status_code": code.name, "rpc.grpc.status_code": code.value[0]})


def tell_messages(span: Span, received: int, sent: int) -> None:
    """Put the number of messages on `span`, which has not ended.

    Each stream that goes well does this: the SDK would take a twentieth of the time that stock's
    instrumentation takes in all to look whether these numbers are attributes.
    """
    kept = getattr(span, "_attributes", None)
    if type(kept) is BoundedAttributes and getattr(span, "_end_time", 0) is None:
        # Its lock is for what has to make room; one item is put into a dictionary at once.
        found, most = kept._dict, kept.maxlen
        if most is None or len(found) + 2 <= most:
            found[RECEIVED] = received
            found[SENT] = sent
            return
    if recording(span):
        span.set_attributes({RECEIVED: received, SENT: sent})


def forget_description(span: Span, description: str) -> None:
    """Take away what stock says of any failure with a code: an error is about to say more."""
    status = getattr(span, "status", None)
    if status is not None and status.description == description:
        type(span).set_status(span, Status(SpanStatus.ERROR))


def failed_by_code(span: Any) -> bool:
    """Tell whether stock has marked `span` as failed because a code was set, for nothing else."""
    status = getattr(span, "status", None)
    if status is None or status.status_code is not SpanStatus.ERROR:
        return False
    said = _SAID.match(status.description or "")
    return said is not None and said[1] in StatusCode.__members__


def take_back(span: Any) -> None:
    """Unmark such a span: another code came later, and the SDK lets nobody lower a status."""
    if failed_by_code(span) and hasattr(span, "_status"):
        span._status = Status()


def shown(details: str, settings: Settings) -> str:
    """Return what an app has told its client as it may stand on a span."""
    limit = settings.max_description_chars
    redactor = redactor_of(settings.redaction)
    return shorten(details if redactor is None else redactor.bounded(details, limit)[0], limit)


@contained
def parent(metadata: Sequence[tuple[str, Any]]) -> Context:
    """Return the context that the metadata carry."""
    return propagate.extract(dict(metadata))


@contained
def peer_of(context: Any) -> dict[str, Any]:
    """Return the address at the other end of the connection, as attributes."""
    peer = "" if context is None else unquote(context.peer())
    family, _, rest = peer.partition(":")
    if family == "unix":
        return {"network.transport": "unix"}
    address, _, port = rest.partition(",")[0].rpartition(":")
    if not port.isdecimal():
        return {}
    return {"network.peer.address": address.strip("[]"), "network.peer.port": int(port)}
