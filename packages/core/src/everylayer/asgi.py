"""Neutral ASGI seams: around a whole app, and between two layers.

Source: asgi.readthedocs.io/en/latest/specs/www.html
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from time import time_ns
from types import FrameType

from opentelemetry.context import get_current

from . import here
from .asgi_span import OwnSpan, begin, server_span
from .asgi_types import ASGIApp, Message, Receive, Scope, Send
from .boundaries import aftermath, answer, arrival, trust
from .chain import drop_frame, in_flight, traceback_of
from .failsafe import contained
from .layers import Layer, LayerMap
from .ledger import Ledger
from .observer import observe
from .policy import ClientStatus
from .seam import BaseProbe, BaseSeam
from .settings import Settings
from .sinks.served import count
from .stacktrace import is_own

SCOPE_KEY = "everylayer"
# What tells the outcome, and the status that it stands for where it names none.
_STATUSES = {
    "http.response.start": 200,
    "websocket.accept": 101,
    "websocket.http.response.start": 403,
    "websocket.close": 403,  # Before the handshake; after it the 101 stays.
    "lifespan.startup.failed": 500,
    "lifespan.shutdown.failed": 500,
}


class Probe(BaseProbe[ASGIApp]):
    """Shows what crosses it to the request's ledger, and passes everything on unchanged."""

    __slots__ = ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.app(scope, receive, send)
        except BaseException as exc:
            see(exc, scope, self.layer, self.client_status)
            drop_frame(exc)
            raise


Show = Callable[[BaseException, Scope], None]


def between(app: ASGIApp, show: Show) -> ASGIApp:
    """Return a function around `app`: a probe at half the cost of a `Probe`.

    Args:
        app: the layer that it stands around.
        show: shows an exception to the request's ledger, `scope[SCOPE_KEY]` if there is one; the
            package's own function around `see`. It must not raise.
    """

    async def probed(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except BaseException as exc:
            show(exc, scope)
            drop_frame(exc)
            raise

    return probed


def right_inside(app: ASGIApp, show: Show) -> ASGIApp:
    """Return the same for right inside the layer that starts the server span: it tells which.

    An error may be seen first where that span is no longer, or not yet, the current one.
    """

    async def probed(scope: Scope, receive: Receive, send: Send) -> None:
        ledger = scope.get(SCOPE_KEY)
        if ledger is not None:
            ledger.within = get_current()
        try:
            await app(scope, receive, send)
        except BaseException as exc:
            show(exc, scope)
            drop_frame(exc)
            raise

    return probed


class Seam(BaseSeam[ASGIApp]):
    """The outermost seam: one ledger a request, from its first layer to its last message.

    A framework's package stands it where each request passes first, and says in a subclass whether
    it is `alone`. Within another one it is a probe; the ledger is `scope[SCOPE_KEY]`.

    Sending a response while an exception is being handled shows who swallowed it:
    `sys.exc_info()` in `send` is the error of the `except` block around it.
    """

    __slots__ = ()

    def _surround(self, settings: Settings) -> None:
        from .boundaries.tenant_seams import around_asgi, surround

        surround(self, around_asgi, settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        outer = scope.get(SCOPE_KEY)
        if outer is not None and outer.running:
            try:
                await self.app(scope, receive, send)
            except BaseException as exc:
                see(exc, scope, self.layer, self.client_status)
                drop_frame(exc)
                raise
            return
        ledger = Exchange(self.settings, self.layers, send, self.client_status, self.layer)
        ledger.around = get_current()
        scope[SCOPE_KEY] = ledger
        scope["type"] == "lifespan" or count()
        own = begin(scope, ledger.send, ledger, self.alone)
        try:
            await self.app(scope, receive, ledger.send if own is None else own.send)
        except BaseException as exc:
            see(exc, scope, self.layer, self.client_status)
            drop_frame(exc)
            close(ledger, scope, exc, own)
            raise
        close(ledger, scope, None, own)

    def alone(self) -> bool:
        """Tell whether nothing inside starts a server span: a neutral seam cannot know."""
        return False


here.told_by(Seam.__call__, here.of_ledger)


def see(
    exc: BaseException,
    scope: Scope,
    layer: Layer | None,
    client_status: ClientStatus,
    phase: str = "call",
) -> None:
    """Show `exc` to the ledger of the request whose `scope` this is, else to the current span's.

    Args:
        exc: what crosses a seam, or is about to be answered.
        scope: of the request; a copy will do.
        layer: what raised it, None to let the ledger's map of layers ask the traceback.
        client_status: status below 500 that the framework gives an exception.
        phase: what that layer was doing.
    """
    ledger = scope.get(SCOPE_KEY)
    observe(exc, layer, phase, ledger=ledger, client_status=_status_of(exc, client_status))
    arrival.note(ledger, scope)


class Exchange(Ledger):
    """The ledger of an ASGI request, whose `send` sees the response on its way out.

    One object, made for each request, for what would else be two.

    Args:
        settings: the rules in force.
        layers: names layers from tracebacks.
        send: the server's.
        client_status: status that the framework gives an exception.
        layer: who gets the blame where the traceback names nobody.
    """

    framework = "asgi"

    def __init__(
        self,
        settings: Settings,
        layers: LayerMap | None,
        send: Send,
        client_status: ClientStatus,
        layer: Layer | None,
    ) -> None:
        # As `Ledger` does it: its call would cost as much as all of this.
        self.settings = settings
        self.layers = layers
        self.start_ns = time_ns()
        self._send = send
        self._client_status = client_status
        self._layer = layer
        # What the caller handles is alive until the request is over: its id tells it apart.
        before = in_flight()
        self._before = None if before is None else id(before)

    # No coroutine of its own: half the cost, and no frame in what the server raises.
    def send(self, message: Message) -> Awaitable[None]:
        """Pass `message` on; the response's first one tells its status, and what that hides."""
        try:
            starts = message["type"] in _STATUSES
        except (KeyError, TypeError):
            starts = False  # The server will refuse it, in its own words.
        if starts:
            message = self._starting(message)
        return self._send(message)

    def _starting(self, message: Message) -> Message:
        status = _status_in(message)
        exc = in_flight()
        if exc is not None and id(exc) != self._before:
            _see_hidden(exc, status, self, self._layer, self._client_status)
            if self.status is None and status < 500:
                self.answered(exc, status)
        if self.status is None:
            self.status = status
            if self.page is not None:
                self.responded(status)
                if status >= 500:
                    return _telling(message, self, status) or message
        return message


class InnerWatch:
    """Watches responses within a layer that runs what is inside it in another task.

    Args:
        send: the next one outwards, past which the response may still change.
        ledger: the request's.
        client_status: status that the framework gives an exception.

    Attributes:
        begun: a response has started here; the final one may still be to come.
    """

    __slots__ = ("_before", "_client_status", "_ledger", "_send", "begun")

    def __init__(self, send: Send, ledger: Ledger, client_status: ClientStatus) -> None:
        self._send = send
        self._ledger = ledger
        self._client_status = client_status
        self._before = in_flight()
        self.begun = False

    def send(self, message: Message) -> Awaitable[None]:
        """Pass `message` on; where the response starts, it may hide an error."""
        try:
            starts = message["type"] in _STATUSES
        except (KeyError, TypeError):
            starts = False
        if starts:
            self.begun = True
            exc = in_flight()
            if exc is not None and exc is not self._before:
                _see_hidden(exc, _status_in(message), self._ledger, None, self._client_status)
        return self._send(message)


def _status_in(message: Message) -> int:
    status = message.get("status")
    return status if isinstance(status, int) else _STATUSES[message["type"]]


@contained
def _see_hidden(
    exc: BaseException,
    status: int,
    ledger: Ledger,
    layer: Layer | None,
    client_status: ClientStatus,
) -> None:
    """Show an error that is being handled while a response starts.

    What a layer raised and dealt with by itself is none, unless it answers with a refusal.
    """
    known = _status_of(exc, client_status)
    if status >= 400 or known is not None or _crossed_a_layer(exc):
        observe(exc, layer, "call", ledger=ledger, client_status=known)
        if ledger.page is not None and ledger.page.came is None:
            arrival.note(ledger, _scope_around())


def _scope_around() -> Scope | None:
    """Return the scope of the request, from the seams that are about to send its response.

    Not from frames of the app: one that is asked for its variables keeps them, before Python 3.13,
    and with them the exception that it is dealing with.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        names = frame.f_code.co_varnames[: frame.f_code.co_argcount]
        if "scope" in names and is_own(frame):
            found: Scope | None = frame.f_locals.get("scope")
            if trust.is_scope(found):
                return found
        frame = frame.f_back
    return None


@contained
def _telling(message: Message, ledger: Ledger, status: int) -> Message | None:
    """Return `message` with the header that tells of the error; None to leave it as it is."""
    if not (answer.due(ledger, status) and message["type"].endswith("http.response.start")):
        return None
    name = ledger.settings.error_context_header.encode()
    headers = list(message.get("headers", ()))
    present = next((bytes(v) for k, v in headers if bytes(k).lower() == name), b"")
    value = answer.value_for(ledger, status, present.decode("latin-1"))
    if value is None:
        return None
    kept = [header for header in headers if bytes(header[0]).lower() != name]
    return {**message, "headers": [*kept, (name, value.encode("ascii"))]}


def _crossed_a_layer(exc: BaseException) -> bool:
    caught_in = traceback_of(exc)
    tb = caught_in and caught_in.tb_next
    while tb is not None:
        code = tb.tb_frame.f_code
        if code.co_varnames[: code.co_argcount][-3:] == ("scope", "receive", "send"):
            return True
        tb = tb.tb_next
    return False


@contained
def _status_of(exc: BaseException, client_status: ClientStatus) -> int | None:
    return client_status(exc)


def close(
    ledger: Ledger,
    scope: Scope,
    escaped: BaseException | None = None,
    own: OwnSpan | None = None,
) -> None:
    """Close `ledger`; the request's server span is made afterwards where there was none.

    Args:
        ledger: the request's.
        scope: the request's.
        escaped: the exception that leaves the app.
        own: the server span that was begun for the request, if one was.
    """
    if own is not None:
        own.leave()
    if ledger.errors:
        ledger.close(escaped, lambda status: server_span(scope, ledger.start_ns, status))
    else:
        ledger.close()
    if own is not None:
        aftermath.tell(escaped, own.end)
