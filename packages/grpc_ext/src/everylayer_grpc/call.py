"""One RPC of a server: its ledger, what it answered, and its messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar
from time import time_ns
from types import TracebackType
from typing import Any
from weakref import ReferenceType

from grpc import StatusCode
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Span
from opentelemetry.trace import StatusCode as SpanStatus

from everylayer import chain, spans
from everylayer import ledger as ledgers
from everylayer.boundaries import aftermath, arrival
from everylayer.failsafe import contained
from everylayer.layers import Layer, LayerMap
from everylayer.ledger import Ledger
from everylayer.observer import observe
from everylayer.page import Page
from everylayer.settings import Settings
from everylayer.sinks.served import count

from . import settling, span
from .codes import code_of, http_status, is_server_error
from .groups import Group, Source
from .raised import has_left, has_spoken, is_abort, is_departure
from .request import scope_of

_KEY = span.KEY
_ERROR = SpanStatus.ERROR

Metadata = Sequence[tuple[str, "str | bytes"]]


class Call(Ledger):
    """The ledger of an RPC.

    Args:
        settings: the rules in force.
        method: the full name, `/package.Service/Method`.
        metadata: what the client sent.

    Attributes:
        context: gRPC's own context, once there is one.
        handler_of: gRPC's own search for the handler, inside all interceptors.
        numbers: gives the number of the client's next message, in a stream that counts itself.
        own: the server span, if it was made here.
        received: messages of the client so far.
        sent: messages to the client so far.
        excluded: stock's instrumentation has been told to leave this RPC alone.
        refused_as: what gRPC answers by itself, whatever the app does.
        uncoded: what it answers for a message that cannot be read or written.
        responses: finds the iterator of a stream that gRPC drops where one cannot be written.
        refuses_requests: it answers so for any message of a stream, rather than raise it.
        source: what is inside stock's layer, if that layer's span is the seam around it.
        given: the handler that stock has got then.
        streams: it gives a stream then.
    """

    # What each RPC asks for: a default of the class would make it ten times as dear.
    __slots__ = (
        *("_finished", "_open", "context", "given", "handler_of", "numbers", "own", "page"),
        *("received", "responses", "sent", "source", "span", "streams", "within"),
    )

    layers: LayerMap | None = None
    framework = "grpc"
    excluded = False
    refused_as: StatusCode | None = None
    uncoded = StatusCode.INTERNAL
    refuses_requests = True

    context: Any
    given: Any
    handler_of: Callable[[Any], Any]
    numbers: Iterator[int] | None
    own: Span | None
    received: int
    responses: ReferenceType[Any] | None
    sent: int
    source: Source
    streams: bool

    def __init__(self, settings: Settings, method: str, metadata: Metadata) -> None:
        # As `Ledger` does it: its call would cost as much as all of this.
        self.settings = settings
        self.start_ns = time_ns()
        self.method = method
        self.metadata = metadata
        self.context = self.given = self.numbers = self.own = self.page = None
        self.responses = self.span = self.within = None
        self.received = self.sent = 0
        self.streams = self._finished = False
        self._open = True
        count()

    @contained
    def see(
        self,
        exc: BaseException,
        tb: TracebackType | None = None,
        *,
        layer: Layer | None = None,
        phase: str = "",
        client_status: int | None = None,
        handled: bool | None = None,
        explicit: bool = False,
        attributes: Mapping[str, Any] | None = None,
        at_ns: int | None = None,
    ) -> None:
        """Take a sighting; an abort says what it answers, and answers for what it follows."""
        said = None
        if not explicit and not self.knows(exc):
            if is_abort(exc):
                earlier = [*chain.ancestors(exc)]
                if any(map(self.knows, earlier)):
                    return
                said, client_status = self._abort()
                answered = self._answered(earlier, layer)
                if answered is not None:
                    exc, tb, said = answered, None, None
            elif is_departure(exc, self.context):
                # Nothing to record, but stock would: its own record comes to here then.
                self._find_span()
                self._guard()
                return
        super().see(
            exc,
            tb,
            layer=layer,
            phase=phase,
            client_status=client_status,
            handled=handled,
            explicit=explicit,
            attributes=attributes,
            at_ns=at_ns,
        )
        if self.context is not None and self.page is not None and self.page.came is None:
            arrival.note(self, scope_of(self.method, self.metadata, self.context))
        sighting = self.sighting_of(exc) if said else None
        if sighting is not None:
            sighting.said = said

    def _abort(self) -> tuple[str, int | None]:
        code = self.code() or StatusCode.UNKNOWN
        asked = self.settings.client_errors == "none" and not is_server_error(code)
        return f"{code.name}: {self.details()}", http_status(code) if asked else None

    def _answered(
        self, earlier: Sequence[BaseException], layer: Layer | None
    ) -> BaseException | None:
        """Return the error of its own that an interceptor has aborted for, nobody else saw it."""
        if layer is None or layer.kind != "middleware":
            return None
        errors = (e for e in earlier if not is_abort(e) and not is_departure(e, self.context))
        return next(errors, None)

    def code(self) -> StatusCode | None:
        """Return the code that the app has set, None if it has set none."""
        # Sync handlers of an asyncio server have a context that does not tell.
        ask = getattr(self.context, "code", None)
        return None if ask is None else code_of(ask())

    def details(self) -> str:
        """Return what the app has added to its code."""
        ask = getattr(self.context, "details", None)
        found = None if ask is None else ask()
        return found.decode("utf-8", "replace") if isinstance(found, bytes) else str(found or "")

    @contained
    def finish(self, escaped: BaseException | None = None) -> None:
        """Settle the RPC: nothing of it runs any more. Only the first call counts.

        Args:
            escaped: the exception that gRPC, or nobody, answers.
        """
        if self._finished:
            return
        self._finished = True
        if escaped is None and self.page is None and self.own is None:
            code = self.code()
            self.status = 200 if code is None else http_status(code)
            self.close()
            self.context = None
        else:
            aftermath.tell(escaped, settling.settle, self, escaped)

    def abandon(self) -> None:
        """Close a stream as gRPC, which drops it: an error's frames may keep it from going."""
        found = None if self.responses is None else self.responses()
        if found is not None:
            with suppress(Exception):  # It is shown to here, and has nowhere else to go.
                found.close()

    def rest(self) -> None:
        """As `finish`, for an RPC that went well; cheap, as nearly all of them are."""
        if self.page is None and self.own is None and not ledgers._any_loose:
            self._finished = True
            self._open = False
            self.context = None
        else:
            self.finish()

    @property
    def finished(self) -> bool:
        """Whether the RPC has been settled."""
        return self._finished

    def begin(self) -> Context | None:
        """Begin the server span, if nobody else has; return the context to run in."""
        if trace.get_current_span() is not INVALID_SPAN or not self.settings.server_span:
            return None
        return self._begin()

    @contained
    def _begin(self) -> Context | None:
        made = span.start(self.method, self.metadata, self.context)
        if made is None:
            return None
        self.own = made
        self.bind(made, inside=True)
        return trace.set_span_in_context(made, span.parent(self.metadata))

    def _look_up_entry(self) -> None:
        within = self.within  # Set right inside the layer whose span stands for the RPC.
        super()._look_up_entry()
        if within is not None and trace.get_current_span(within) is INVALID_SPAN:
            self.excluded = True

    def span_so_far(self) -> Span | None:
        """Return the span that stands for the RPC, if one has begun."""
        self._look_up_entry()
        return self.span

    def left_alone(self) -> bool:
        """Tell whether the client has gone, although nothing was raised for that."""
        return has_left(self.context)  # Under asyncio something always is.

    @contained
    def leave_span(self, exc: BaseException | None = None) -> None:
        """Tell that span, which is about to end, what its own layer does not know."""
        self._look_up_entry()
        target = self.span
        if target is None or not spans.recording(target):
            return
        self.tell_messages(target)
        if self.page is None and span.failed_by_code(target):
            # What is outside of the span may still set another code: its end waits for that.
            self.page = Page()
            self._guard()
        if self.left_alone() if exc is None else is_departure(exc, self.context):
            code = settling.departed(self)
            span.tell_code(target, code)
            settling.fail_by_code(target, code, "")

    def spoken(self) -> bool:
        """Tell whether more than messages must be told where the span's end is near."""
        return has_spoken(self.context)

    def leave_unary(self, exc: BaseException | None = None) -> None:
        """As `leave_span`, where there is one message each way, or none back."""
        self.received = 1
        self.sent = int(exc is None)
        self.leave_span(exc)

    @contained
    def streamed(self) -> None:
        """As `leave_span`, after a stream that went well."""
        if self.spoken():
            self.leave_span()
            return
        within = self.within
        target: Any = self.span if within is None else within.get(_KEY)
        if target is not None:
            self.tell_messages(target)

    @contained
    def unimplemented(self) -> None:
        """Settle an RPC that has no handler."""
        if self.errors:
            self.status = http_status(StatusCode.UNIMPLEMENTED)
            self.close(None, lambda _: settling.span_afterwards(self, StatusCode.UNIMPLEMENTED))

    def tell_messages(self, target: Span) -> None:
        """Put the number of messages on `target`."""
        if self.numbers is not None:
            self.received = next(self.numbers) - 1
            self.numbers = None
        span.tell_messages(target, self.received, self.sent)


class AioCall(Call):
    """The ledger of an RPC of an asyncio server."""

    __slots__ = ()

    uncoded = StatusCode.UNKNOWN
    refuses_requests = False

    def spoken(self) -> bool:
        """As for threads. A code that is OK again does not show in its context: the span tells."""
        within = self.within
        if within is None:
            return True
        status = getattr(within.get(_KEY), "_status", None)
        return status is not None and status.status_code is _ERROR


CURRENT: ContextVar[Call | None] = ContextVar("everylayer_grpc_call", default=None)


def show(exc: BaseException, source: Source | None, phase: str, call: Call | None = None) -> None:
    """Show `exc`, which came first from `source`, to `call` or else the RPC that is served here."""
    observe(
        exc,
        layer_of(source, exc) if isinstance(source, Group) else source,
        phase,
        ledger=call or CURRENT.get(),
    )


@contained
def layer_of(group: Group, exc: BaseException) -> Layer:
    """Return which of the layers of `group` the error `exc` came from."""
    return group.layer_of(exc)
