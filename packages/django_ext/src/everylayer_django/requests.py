"""One request: the ledger of what failed in it, kept on the request object itself.

Under ASGI Django converts exceptions in a worker thread, so the context alone does not tell
which request they belong to. An attribute does, and unlike an entry of META it does not show up
on Django's debug pages.
"""

from __future__ import annotations

import functools
import time
from typing import Any

from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.http import Http404, HttpRequest
from django.http.multipartparser import MultiPartParserError
from django.http.response import HttpResponseBase
from opentelemetry import trace
from opentelemetry.trace import Span

from everylayer import chain, spans
from everylayer.boundaries import answer, arrival
from everylayer.boundaries.aftermath import hand_over
from everylayer.failsafe import contained
from everylayer.ledger import Ledger
from everylayer.loose import ledger_for
from everylayer.observer import observe

from . import config
from .locate import Place, locate
from .server_span import server_span

# In the request's `__dict__`: when it entered the outermost seam, then its ledger.
MARK = "_everylayer"
# The span that belongs to the request, which stock forgets when it is done.
SPAN = "_everylayer_span"
STOCK_SPAN = "opentelemetry-instrumentor-django.span_key"

_MAX_LEAVES = 64

# As django.core.handlers.exception answers them.
_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (Http404, 404),
    (PermissionDenied, 403),
    (MultiPartParserError, 400),
    (BadRequest, 400),
    (SuspiciousOperation, 400),
)
_CLIENT_ERRORS = tuple(cls for cls, _ in _STATUS)


class RequestLedger(Ledger):
    """A ledger that also waits for the end of a streamed body.

    Attributes:
        streaming: the body is being sent.
        gone: what left the app, while it is on its way, see `_leaves`.
    """

    framework = "django"
    streaming = False
    gone: tuple[int, ...] = ()

    def __init__(self, start_ns: int | None = None) -> None:
        super().__init__(config.current())
        if start_ns is not None:
            self.start_ns = start_ns

    def undecided(self) -> bool:
        """Tell whether the end of the request's span must wait."""
        return self.streaming or super().undecided()

    def __reduce__(self) -> tuple[Any, ...]:
        # A request that is copied or pickled leaves its spans behind.
        return type(None), ()


def client_status(exc: BaseException) -> int | None:
    """Return the 4xx that Django answers `exc` with, None if it is not a client's error."""
    # Not isinstance: it asks the exception for its `__class__`.
    if not issubclass(type(exc), _CLIENT_ERRORS):
        return None
    return next(status for cls, status in _STATUS if issubclass(type(exc), cls))


def ledger_of(request: HttpRequest) -> Ledger:
    """Return the ledger of `request`, made when first asked for."""
    state = vars(request)
    mark = state.get(MARK)
    if type(mark) is RequestLedger and mark.span is not None:
        return mark
    span = state.get(SPAN) or request.META.get(STOCK_SPAN)
    if mark is None:
        return ledger_for(span or trace.get_current_span(), config.current())
    if not isinstance(mark, Ledger):
        mark = state[MARK] = RequestLedger(mark)
    if mark.span is None and span is not None:
        mark.bind(span, inside=True)
    return mark


@contained
def see(request: HttpRequest, exc: BaseException, place: Place | None = None) -> None:
    """Show `exc` to the ledger of `request`."""
    ledger = ledger_of(request)
    if ledger.again(exc):
        return
    if place is None:
        if ledger.knows(exc):
            # Nothing but its traceback is new: straight to the ledger.
            ledger.see(exc, client_status=client_status(exc))
            return
        place = locate(chain.traceback_of(exc), request)
    status = client_status(exc)
    if status is None and ledger.page is not None:
        # What fails after a 404 is not its doing.
        ledger.page.excuse()
    observe(exc, *place, ledger=ledger, client_status=status)
    arrival.note(ledger, getattr(request, "scope", None) or request.META)


@contained
def uncaught(request: HttpRequest, exc: BaseException) -> None:
    """Show `exc`, which becomes a 500."""
    # `response_for_exception` has just shown it, unless it is an error handler's.
    if not ledger_of(request).knows(exc):
        see(request, exc)


@contained
def tell(request: HttpRequest, response: HttpResponseBase) -> None:
    """Add to `response` the header that tells of the error, where the setting asks for it."""
    ledger = vars(request).get(MARK)
    if isinstance(ledger, Ledger) and answer.due(ledger, response.status_code):
        name = ledger.settings.error_context_header
        value = answer.value_for(ledger, response.status_code, response.headers.get(name, ""))
        if value is not None:
            response.headers[name] = value


@contained
def settle(request: HttpRequest, status: int | None, escaped: BaseException | None = None) -> None:
    """Close the ledger of `request`: its outcome is known.

    Args:
        request: the request.
        status: of the response, None where there is none.
        escaped: what leaves the app instead, or breaks its streamed body.
    """
    ledger = vars(request)[MARK]
    _adopt(ledger)
    if status is None and spans.response_status(ledger.span) is not None:
        # Stock took the status of an inner response that did not go out.
        status = 500
    ledger.status = status
    ledger.streaming = False
    ledger.gone = _leaves(escaped) if escaped is not None else ()
    make_span = None
    if ledger.span is None:
        make_span = functools.partial(server_span, request, ledger.start_ns)
    ledger.close(escaped, make_span)
    guard = spans.guard_of(ledger.span)
    if guard is not None and guard.held_ns is not None:
        guard.finish()


@contained
def late(request: HttpRequest, exc: BaseException, *, escapes: bool) -> None:
    """Show an error that comes when the response has been handed out."""
    state = vars(request)
    if not isinstance(state.get(MARK), Ledger):
        state[MARK] = RequestLedger(state.get(MARK))
    ledger = state[MARK]
    leaves = _leaves(exc)
    if ledger.gone == leaves:
        return
    see(request, exc)
    if escapes:
        ledger.gone = leaves
    if escapes and ledger.status is None:
        ledger.status = spans.response_status(ledger.span)
    ledger.close(exc if escapes else None, functools.partial(server_span, request, ledger.start_ns))


def hold(request: HttpRequest, span: Span) -> None:
    """Let `span` end with the body that is about to be streamed."""
    state = vars(request)
    if state.get(MARK) is None:
        return
    ledger = ledger_of(request)
    if isinstance(ledger, RequestLedger) and ledger.span is span and spans.recording(span):
        ledger.streaming = True
        if spans.guard_of(span) is None:
            spans.SpanGuard(span, ledger)


def release(request: HttpRequest, status: int, escaped: BaseException | None) -> None:
    """End what `hold` held: the streamed body is complete, broken or given up."""
    ledger = _unsettled(request)
    if ledger is not None:
        guard = spans.guard_of(ledger.span)
        if guard is not None and guard.held_ns is not None:
            guard.held_ns = time.time_ns()
        settle(request, status, escaped)


def release_soon(request: HttpRequest, status: int) -> None:
    """Do the same within a finalizer, for a body that nobody has closed."""
    if _unsettled(request) is not None:
        hand_over(release, request, status, None)


def _unsettled(request: HttpRequest) -> RequestLedger | None:
    ledger = vars(request).get(MARK)
    if isinstance(ledger, RequestLedger) and (ledger.streaming or ledger.errors):
        return ledger
    return None


def _leaves(exc: BaseException) -> tuple[int, ...]:
    """Return the ids of the exceptions in `exc`, or its own.

    Django's `except*` lets another group go on than the one that broke a stream, of the same
    members.
    """
    found: list[int] = []
    queue = [exc]
    while queue and len(found) < _MAX_LEAVES:
        current = queue.pop()
        inside = chain.members(current)
        queue += inside
        if not inside:
            found.append(id(current))
    return tuple(found)


def _adopt(ledger: Ledger) -> None:
    """Move to the SERVER span around Django, where stock's own span is an INTERNAL one."""
    if spans.is_server(ledger.span):
        return
    outer = trace.get_current_span()
    if outer is ledger.span or not spans.is_server(outer):
        return
    ledger.bind(outer)
    for exc in tuple(ledger.exceptions()):
        ledger.see(exc)
