"""The error context: what one service tells the next of an error, as a value and as a header.

`v=1;more=0,type=shop.Sold;layer=stock;service=shop;trace=<32 hex>;span=<16 hex>,type=...`: a head,
then one member a service, the nearest first. Values are percent-encoded; what a reader does not
know it skips, so that a later version may add to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

MAX_BYTES = 2048
MAX_HOPS = 8
# Characters of a decoded text; encoded it may be three times as long, see `_ROOMS`.
MAX_TEXT = 200
_MAX_READ = 2 * MAX_BYTES
_MAX_COUNT = 9999
# Bytes for each encoded text: the largest room with which everything fits is taken. With the last
# one it does: eight hops of four such texts, both ids and a number.
_ROOMS = (3 * MAX_TEXT, 200, 96, 48, 24)
_KEPT_AS_IS = ":/@"
_CUT = ".."
_TRACE = re.compile(r"(?!0{32})[0-9a-f]{32}")
_SPAN = re.compile(r"(?!0{16})[0-9a-f]{16}")
_NUMBER = re.compile(r"[0-9]{1,4}")


class Hop(NamedTuple):
    """What one service says of the error that it answers with.

    Attributes:
        type: fully qualified class name.
        layer: name of the layer that it began in.
        service: `service.name`, empty where that is not set.
        trace_id: 32 hexadecimal digits, empty without a trace.
        span_id: 16 hexadecimal digits, of the span that the error is on.
        attempt: which attempt at the request failed, 1 the first; 0 where nobody counts.
        message: of the error, redacted; for a trusted caller alone.
    """

    type: str
    layer: str = ""
    service: str = ""
    trace_id: str = ""
    span_id: str = ""
    attempt: int = 0
    message: str = ""


class ErrorContext(NamedTuple):
    """An error's way through services: `hops[0]` has answered, `hops[-1]` is where it began.

    Attributes:
        hops: at least one, at most 8.
        more: services in between that found no room.
    """

    hops: tuple[Hop, ...]
    more: int = 0

    @property
    def origin(self) -> Hop:
        """The service in which the error began."""
        return self.hops[-1]

    @property
    def length(self) -> int:
        """The number of services that the error has passed."""
        return len(self.hops) + self.more


def through(hop: Hop, upstream: ErrorContext | None) -> ErrorContext:
    """Return the context of an error that `hop` answers with, after what `upstream` told it.

    Who answers and where it began are kept; from what lies between, the nearest go first.
    """
    if upstream is None:
        return ErrorContext((hop,))
    kept = upstream.hops[-(MAX_HOPS - 1) :]
    more = upstream.more + len(upstream.hops) - len(kept)
    return ErrorContext((hop, *kept), min(more, _MAX_COUNT))


def cleaned(context: ErrorContext, clean: Callable[[str], str], messages: bool) -> ErrorContext:
    """Return `context` with each text passed through `clean`, and messages only if wanted."""
    return ErrorContext(
        tuple(
            hop._replace(
                type=clean(hop.type),
                layer=clean(hop.layer),
                service=clean(hop.service),
                message=clean(hop.message) if messages else "",
            )
            for hop in context.hops
        ),
        context.more,
    )


def render(context: ErrorContext) -> str:
    """Return the value of the header: printable ASCII, at most 2048 bytes.

    Texts become shorter until there is room for all.
    """
    hops, more = context.hops[:MAX_HOPS], context.more + len(context.hops[MAX_HOPS:])
    head = f"v=1;more={min(more, _MAX_COUNT)}" if more else "v=1"
    for room in _ROOMS:
        value = ",".join([head, *(";".join(_pairs(hop, room)) for hop in hops)])
        if len(value) <= MAX_BYTES:
            break
    return value


def parse(value: str | bytes) -> ErrorContext | None:
    """Return what a header says; None for what is none. Never raises.

    What is malformed is left out by itself; of what is too long the whole members at its beginning
    are kept. A second header, which a proxy has joined on, is not read.
    """
    if isinstance(value, str):
        value = value[:_MAX_READ].encode("latin-1", "replace")
    text = value[:_MAX_READ].decode("latin-1")
    members = text.split(",")
    if len(value) > MAX_BYTES:
        text = text[:MAX_BYTES]
        members = text.split(",")[:-1] or [text]
    head = _fields(members[0])
    if _NUMBER.fullmatch(head.get("v", "")) is None or int(head["v"]) < 1:
        return None
    hops: list[Hop] = []
    more = _count(head.get("more", ""))
    for member in members[1:]:
        fields = _fields(member)
        if "v" in fields:
            break
        if fields.get("type"):
            hops.append(_hop(fields))
    if not hops:
        return None
    if len(hops) > MAX_HOPS:
        more += len(hops) - MAX_HOPS
        hops = [hops[0], *hops[1 - MAX_HOPS :]]
    return ErrorContext(tuple(hops), min(more, _MAX_COUNT))


def _pairs(hop: Hop, room: int) -> Iterator[str]:
    yield f"type={_encoded(hop.type, room)}"
    if hop.layer:
        yield f"layer={_encoded(hop.layer, room)}"
    if hop.service:
        yield f"service={_encoded(hop.service, room)}"
    if hop.trace_id:
        yield f"trace={hop.trace_id}"
    if hop.span_id:
        yield f"span={hop.span_id}"
    if hop.attempt:
        yield f"attempt={hop.attempt}"
    if hop.message:
        yield f"message={_encoded(hop.message, room)}"


def _encoded(text: str, room: int) -> str:
    """Return `text` as at most `room` characters; a name says most at its end."""
    text = bounded(text)
    value = quote(text, safe=_KEPT_AS_IS)
    if len(value) <= room:
        return value
    room -= len(_CUT)
    left: list[str] = []
    for character in reversed(text):
        piece = quote(character, safe=_KEPT_AS_IS)
        if len(piece) > room:
            break
        room -= len(piece)
        left.append(piece)
    return _CUT + "".join(reversed(left))


def bounded(text: str) -> str:
    """Return `text` as it may stand in a context: printable, on one line, its end if it is long."""
    if len(text) > MAX_TEXT:
        text = _CUT + text[len(_CUT) - MAX_TEXT :]
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else "?" for c in text)


def _fields(member: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in member.split(";"):
        name, equals, value = pair.partition("=")
        if equals and value.isascii():
            found.setdefault(name.strip(" \t"), value.strip(" \t"))
    return found


def _hop(fields: dict[str, str]) -> Hop:
    trace_id, span_id = fields.get("trace", ""), fields.get("span", "")
    return Hop(
        _decoded(fields["type"]),
        _decoded(fields.get("layer", "")),
        _decoded(fields.get("service", "")),
        trace_id if _TRACE.fullmatch(trace_id) else "",
        span_id if _SPAN.fullmatch(span_id) else "",
        _count(fields.get("attempt", "")),
        _decoded(fields.get("message", "")),
    )


def _decoded(value: str) -> str:
    return bounded(unquote_to_bytes(value).decode("utf-8", "replace"))


def _count(value: str) -> int:
    return int(value) if _NUMBER.fullmatch(value) else 0
