"""Values that the app has named as sensitive, for the errors of one request."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any, TypeVar

from opentelemetry import trace
from opentelemetry.trace import Span

T = TypeVar("T")

# Text to look for -> kind.
Exact = Mapping[str, str]

MAX_VALUES = 256
# A longer value is looked for in pieces of this size, in characters.
PIECE = 2048
_MOST = 32 * PIECE
_ON_SPAN = "_everylayer_sensitive"


class Holder:
    """The values of one trace, as far as one context knows them."""

    __slots__ = ("trace_id", "values")

    def __init__(self, trace_id: int) -> None:
        self.trace_id = trace_id
        self.values: dict[str, str] = {}


_holder: ContextVar[Holder | None] = ContextVar("everylayer_sensitive", default=None)


def sensitive(value: T, kind: str = "sensitive") -> T:
    """Have the text of `value` redacted in whatever this request's errors say, and return it.

    It is known in the context of this call, in those derived from it, and on the span that is
    current: an error recorded in neither does not know it. The last 256 values count.

    Args:
        value: a string, bytes, or what `str()` makes a text of.
        kind: what is shown in its place.
    """
    span = trace.get_current_span()
    trace_id = span.get_span_context().trace_id
    holder = _holder.get()
    if holder is None or holder.trace_id != trace_id:
        # A thread serves one request after the other in the same context.
        holder = Holder(trace_id)
        _holder.set(holder)
    known = holder.values
    for text in texts(value):
        known.pop(text, None)
        known[text] = kind
    while len(known) > MAX_VALUES:
        known.pop(next(iter(known)), None)
    if span.is_recording():
        vars(span).setdefault(_ON_SPAN, {})[id(holder)] = holder
    return value


@contextlib.contextmanager
def lent(span: Span, found: Mapping[str, str]) -> Iterator[None]:
    """Know `found` for the errors of `span` that are first seen in this block."""
    if not found:
        yield
        return
    holder = Holder(span.get_span_context().trace_id)
    before = _holder.get()
    if before is not None and before.trace_id == holder.trace_id:
        holder.values.update(before.values)
    holder.values.update(found)
    token = _holder.set(holder)
    try:
        yield
    finally:
        _holder.reset(token)


def current() -> Holder | None:
    """Return what this context knows."""
    return _holder.get()


def known(span: Span | None, *holders: Holder | None) -> dict[str, str]:
    """Return what is known for the errors of `span`: there, in this context, and in `holders`."""
    here = (_holder.get(), *holders)
    on_span: Mapping[int, Holder] = getattr(span, "__dict__", {}).get(_ON_SPAN, {})
    if not on_span and here.count(None) == len(here):
        return {}
    trace_id = span.get_span_context().trace_id if span is not None else 0
    found: dict[str, str] = {}
    for holder in (*here, *on_span.values()):
        if holder is not None and holder.trace_id in (0, trace_id):
            found.update(holder.values.copy())
    return found


def texts(value: Any) -> Iterator[str]:
    """Yield how `value` may be written: plain, in a `repr`, in JSON, in a URL."""
    if value is None or isinstance(value, bool):
        return
    import json
    from urllib.parse import quote, quote_plus

    secret = getattr(value, "get_secret_value", None)
    if callable(secret):
        value = secret()
    if isinstance(value, (bytes, bytearray)):
        plain = bytes(value[:_MOST]).decode("utf-8", "backslashreplace")
        forms = [plain, repr(bytes(value[:_MOST]))[2:-1]]
    else:
        plain = (value if isinstance(value, str) else str(value))[:_MOST]
        forms = [plain]
    forms.append(repr(plain)[1:-1])
    forms.append(json.dumps(plain)[1:-1])
    forms.append(json.dumps(plain, ensure_ascii=False)[1:-1])
    url = plain.encode("utf-8", "surrogatepass")
    forms += [quote(url, safe=""), quote(url), quote_plus(url)]
    # A `repr` within a `repr`: of an exception's argument, or of a group.
    forms += [repr(form)[1:-1] for form in forms[:2]]
    forms.append(plain.strip())
    forms.append(plain.encode("utf-8", "backslashreplace").decode())
    for form in dict.fromkeys(forms):
        if len(form) <= 2 * PIECE:
            if form.strip():
                yield form
        else:
            yield from (form[at : at + PIECE] for at in range(0, len(form), PIECE))


def spans(text: str, exact: Exact) -> Iterator[tuple[int, int, str]]:
    """Yield where the values stand in `text`."""
    for wanted, kind in exact.items():
        at = text.find(wanted)
        while at >= 0:
            end = at + len(wanted)
            # A PIN within an order number is none.
            alone = not (text[end : end + 1].isalnum() or text[max(at - 1, 0) : at].isalnum())
            if len(wanted) > 3 or alone:
                yield at, end, kind
            at = text.find(wanted, end)
