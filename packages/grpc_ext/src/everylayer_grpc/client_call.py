"""One RPC of a client: the span it belongs to, and what its end says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from types import TracebackType
from typing import Any, NamedTuple

import grpc
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.propagators.textmap import Setter
from opentelemetry.trace import Span, SpanKind

from everylayer import spans
from everylayer.chain import traceback_of
from everylayer.failsafe import contained
from everylayer.http_span import provider_configured
from everylayer.layers import Layer
from everylayer.ledger import Ledger
from everylayer.settings import Settings
from everylayer.text import clean, message_of

from . import span


class End(NamedTuple):
    """How an RPC ended, as its client knows it."""

    code: grpc.StatusCode
    details: str
    trailing: Sequence[tuple[str, str | bytes]]
    cancelled_here: bool = False


class ClientCall(Ledger):
    """The ledger of a client's span.

    Args:
        settings: the rules in force.
        method: the full name, `/package.Service/Method`.
        target: the span.
        own: it was begun here, and must be ended here.

    Attributes:
        waiting: the span is held until the outcome is known.
        finished: the outcome has been told.
    """

    waiting = False
    finished = False
    _ending: tuple[BaseException, End] | None = None

    def __init__(self, settings: Settings, method: str, target: Span, own: bool) -> None:
        super().__init__(settings, surrounded=False)
        self.method = method
        self.bind(target)
        self.target = target
        self.own = own

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
        """Take a sighting; what asyncio raises for one end are several objects, and one error."""
        for sighting in self.page.seen if self.page is not None else ():
            if sighting.said and type(sighting.exc) is type(exc) and sighting.exc is not exc:
                sighting.exc, sighting.tb = exc, tb or traceback_of(exc)
                described = f"{type(exc).__name__}: {message_of(exc)}"
                span.forget_description(self.target, described)
                return
        super().see(
            exc,
            tb,
            layer=layer or Layer(self.method, "app"),
            phase=phase or "call",
            client_status=client_status,
            handled=handled,
            explicit=explicit,
            attributes=attributes,
            at_ns=at_ns,
        )

    def _find_span(self) -> None:
        """Stay with the client's span: within a server's RPC that one's is current at the end."""

    @contained
    def failed(self, exc: BaseException, end: End | None = None) -> None:
        """Take the exception that the RPC ends with, and what came with it."""
        if end is not None:
            span.tell_code(self.target, end.code)
            if end.cancelled_here:
                return
        self._ending = (exc, end) if end is not None and isinstance(exc, grpc.RpcError) else None
        self.see(exc, handled=False)
        self._say()
        self._ending = None

    @contained
    def flush(self) -> None:
        """Write what has not been written: stock may end the span while `failed` is at work."""
        self._say()
        super().flush()

    def _say(self) -> None:
        """Have gRPC's own error told by its code and details, not by what it prints of itself."""
        ending = self._ending
        sighting = self.sighting_of(ending[0]) if ending is not None else None
        if ending is not None and sighting is not None:
            sighting.said = f"{ending[1].code.name}: {ending[1].details}".rstrip(": ")

    @contained
    def hold(self) -> None:
        """Keep the span from ending until `finish`, whoever ends it: the outcome is not known."""
        self.waiting = True
        self._guard()

    def undecided(self) -> bool:
        """Tell whether the outcome of the RPC is still to come."""
        return self.waiting

    @contained
    def finish(self) -> None:
        """End the span, if that is for us to do, or was kept from ending."""
        self.waiting, self.finished = False, True
        guard = spans.guard_of(self.target)
        if guard is not None and guard.held_ns is not None:
            guard.finish()
        if self.own and not spans.ended(self.target):
            self.target.end()


CLIENT: ContextVar[ClientCall | None] = ContextVar("everylayer_grpc_client", default=None)


def begin(settings: Settings, method: str) -> ClientCall | None:
    """Begin the client span of an RPC that nobody else begins one for."""
    if not (settings.enabled and settings.server_span) or in_stock():
        return None
    if not provider_configured() or not is_instrumentation_enabled():
        return None
    made = trace.get_tracer("everylayer").start_span(
        clean(method) or "gRPC", kind=SpanKind.CLIENT, attributes=span.about(method)
    )
    return ClientCall(settings, method, made, own=True)


def in_stock() -> bool:
    """Tell whether the current span is the one that stock has begun for this very RPC."""
    current = trace.get_current_span()
    if getattr(current, "kind", None) is not SpanKind.CLIENT:
        return False
    return (getattr(current, "attributes", None) or {}).get("rpc.system") == "grpc"


def carrying(metadata: Any, within: Context) -> list[tuple[str, Any]]:
    """Return `metadata` with the ids of the span in `within`, in place of any that were there."""
    own: dict[str, Any] = {}
    propagate.inject(own, context=within, setter=_SETTER)
    return [*((k, v) for k, v in metadata or () if k not in own), *own.items()]


class MetadataSetter(Setter[dict[str, Any]]):
    """Writes gRPC's metadata, whose keys know no capitals, and whose values may be bytes."""

    def set(self, carrier: dict[str, Any], key: str, value: str) -> None:
        carrier[key.lower()] = value


_SETTER = MetadataSetter()
