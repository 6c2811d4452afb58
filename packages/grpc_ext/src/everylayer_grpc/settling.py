"""How an RPC ended, and what its span says of that."""

from __future__ import annotations

from time import time_ns
from typing import TYPE_CHECKING

from grpc import StatusCode
from opentelemetry.trace import Span, Status
from opentelemetry.trace import StatusCode as SpanStatus

from everylayer import spans
from everylayer.failsafe import contained

from . import span, trailing
from .codes import http_status, is_server_error
from .raised import after_departure, is_departure

if TYPE_CHECKING:
    from .call import Call


@contained
def settle(call: Call, escaped: BaseException | None) -> None:
    """Tell what `call` came to: nothing of it runs any more.

    Args:
        call: the RPC.
        escaped: the exception that gRPC, or nobody, answers.
    """
    code = _outcome(call, escaped)
    call.status = http_status(code)
    if call.page is not None:
        trailing.settle(call, call.status)
    # Stock tells OK where an exception decides.
    if call.own is not None or (call.errors and spans.recording(call.span)):
        target = call.own or call.span
        assert target is not None
        span.tell_code(target, code)
        if not is_server_error(code):
            span.take_back(target)
        elif next(call.exceptions(), None) is not None:
            span.forget_description(target, f"{code}:{call.details()}")
    call.close(None, lambda _: span_afterwards(call, code))
    if call.own is not None:
        call.flush()
        call.tell_messages(call.own)
        if is_server_error(code):
            fail_by_code(call.own, code, span.shown(call.details(), call.settings))
        call.own.end()
    call.context = None


def _outcome(call: Call, escaped: BaseException | None) -> StatusCode:
    if call.refused_as is not None:
        return call.refused_as
    code = call.code()
    if escaped is None:
        return departed(call) if call.left_alone() else code or StatusCode.OK
    if is_departure(escaped, call.context):
        return departed(call)
    return StatusCode.UNKNOWN if code in (None, StatusCode.OK) else code


def departed(call: Call) -> StatusCode:
    """Return the code of an RPC whose client has gone, or whose time is over."""
    return call.refused_as or after_departure(call.context, (time_ns() - call.start_ns) / 1e9)


def span_afterwards(call: Call, code: StatusCode) -> Span | None:
    """Return a server span for an RPC that failed before any had begun."""
    if call.excluded:
        return None
    made = span.start(call.method, call.metadata, call.context, call.start_ns)
    if made is not None:
        span.tell_code(made, code)
    return made


@contained
def fail_by_code(target: Span, code: StatusCode, details: str) -> None:
    """Mark `target` as failed if its server answered with a code of its own failure."""
    if not is_server_error(code):
        return
    status = getattr(target, "status", None)
    if status is None or status.status_code is not SpanStatus.ERROR:
        target.set_status(Status(SpanStatus.ERROR, f"{code.name}: {details}".rstrip(": ")))
        target.set_attribute("error.type", code.name)
