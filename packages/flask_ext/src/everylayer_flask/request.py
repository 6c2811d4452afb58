"""One request, from its outermost frame of ours to the close of its body.

Nothing but this record is made for a request that works; its ledger is opened by the first error.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable
from time import time_ns
from types import FrameType
from typing import Any

from opentelemetry import context, trace
from opentelemetry.trace import Span
from werkzeug.wsgi import ClosingIterator

from everylayer import spans
from everylayer.boundaries import aftermath, arrival
from everylayer.chain import drop_frame, traceback_of
from everylayer.failsafe import contained
from everylayer.ledger import Ledger
from everylayer.observer import observe
from everylayer.policy import Verdict, judge
from everylayer.sinks.served import count
from everylayer.wsgi import telling
from everylayer.wsgi_span import bind_left, request_context, server_span
from everylayer.wsgi_types import Environ, StartResponse, WSGIApp

from . import stock
from .body import CLOSED, SENT, Body, code_of, is_complete, is_foreign, status_of, streams, watched
from .rules import Place, Rules, of_body
from .telling import answered, tell_in_response

KEY = "everylayer.request"


class Request:
    """What is known of one request.

    Attributes:
        environ: the innermost one that was seen: a layer may hand on a copy.
        inner: the rules of a Flask app inside the outermost one, or inside plain WSGI layers.
        route: the URL rule that matched, where a seam came to know it.
        streams: Flask's response is produced while it is sent, below layers of the app's.
        body: that of Flask's response, which does not stream.
        quiet: nothing to write: no error seen, no span started.
        unwatched: made for an error, so that nobody stands at the start of the response.
    """

    # Class attributes, so that a request that works sets as few as can be.
    inner: Rules | None = None
    route: str | None = None
    status: str | None = None
    streams = False
    body: Any = None
    quiet = True
    unwatched = False
    _ledger: Ledger | None = None
    _span: Span | None = None
    _response: tuple[str, Any] | None = None
    _token: Any = None

    def __init__(
        self, rules: Rules, environ: Environ, start_response: StartResponse, start_ns: int
    ) -> None:
        self.rules = rules
        self.environ = environ
        self.start_ns = start_ns
        self._start_response = start_response

    def start(self, status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], object]:
        """Pass the response's start on; who answers 5xx in an `except` block shows the error."""
        self.status = status
        if type(status) is not str or status >= "5" or exc_info is not None or not self.quiet:
            self._started(status, headers, exc_info)
            if self._ledger is not None:
                headers = telling(self._ledger, status, headers) or headers
        try:
            if exc_info is None:
                return self._start_response(status, headers)
            return self._start_response(status, headers, exc_info)
        except BaseException as exc:
            drop_frame(exc)
            raise

    @contained
    def see(
        self, exc: BaseException, phase: str = "call", client_status: int | None = None
    ) -> None:
        """Show `exc` to the ledger."""
        self.take(exc, phase, client_status)

    def take(self, exc: BaseException, phase: str, client_status: int | None) -> None:
        """Do the same, for a caller that is contained itself."""
        ledger = self.ledger()
        if phase in ("stream", "close"):
            bind_left(ledger, exc)
        # Most errors pass several seams; the first one has found out where they come from.
        if ledger.again(exc):
            return
        if ledger.knows(exc):
            observe(exc, ledger=ledger, client_status=client_status)
            return
        if client_status is None and ledger.page is not None:
            ledger.page.excuse()
        observe(exc, *self._place(exc, phase), ledger=ledger, client_status=client_status)
        arrival.note(ledger, self.environ)
        if self.unwatched and ledger.settings.error_context != "off":
            self.unwatched = False
            tell_in_response(ledger)

    def ledger(self) -> Ledger:
        """Return the ledger, which belongs to the request's span as far as that is known."""
        self.quiet = False
        ledger = self._ledger or self._open()
        span = self.environ.get(stock.SPAN)
        if span is not None and span is not ledger.span:
            ledger.bind(span, inside=True)
        return ledger

    def knows(self, exc: BaseException) -> bool:
        """Tell whether `exc` has been shown."""
        return self._ledger is not None and self._ledger.knows(exc)

    def ignores(self, exc: BaseException, status: int | None) -> bool:
        """Tell whether `exc`, answered with `status`, is not worth recording."""
        layer, _ = self._place(exc, "")
        verdict = judge(
            exc,
            self.rules.settings,
            layer_kind="" if layer is None else layer.kind,
            client_status=status,
            response_status=status,
            escaped=False,
            handled=None,
        )
        return verdict is Verdict.IGNORE

    def _place(self, exc: BaseException, phase: str) -> Place:
        tb = traceback_of(exc)
        found: Place = (None, phase)
        for rules in (self.inner, self.rules):
            placed = found if rules is None else rules.place(tb, phase)
            # What Flask has called but does not know may be a layer's: its `start_response`.
            if placed[0] is not None and (found[0] is None or placed[0].kind == "middleware"):
                found = placed
            if found[0] is not None and found[0].kind != "app":
                return found
        if found[0] is not None:
            return found
        return of_body(tb, phase) if phase in ("stream", "close") else None, phase

    @contained
    def begin(self) -> None:
        """Start the server span where nobody else will."""
        if not self.rules.wants_span() or stock.excluded(self.environ):
            return
        parent = request_context(self.environ)
        self._span = span = server_span(self.environ, self.start_ns, None, parent)
        if span is None:
            return
        self.quiet = False
        self._token = context.attach(trace.set_span_in_context(span, parent))

    def leave(self, environ: Environ) -> None:
        """Let go of the environ: the app has returned.

        The two would keep each other, and all that the environ holds, for the garbage collector.
        """
        environ.pop(KEY, None)
        if self.environ is not environ:
            self.environ.pop(KEY, None)
        if self._token is not None:
            spans.detach(self._token)
            self._token = None

    @contained
    def settle(self, escaped: BaseException | None = None) -> None:
        """Take the outcome: nothing that follows changes the response."""
        span = None if spans.ended(self._span) else self._span
        if span is not None:
            self._name(span)
            self._add_response(span)
        if self._ledger is not None:
            if escaped is not None and self.status is None:
                # What the server will say; stock may have noted what never went out.
                self._ledger.responded(500)
            self._ledger.close(escaped, self._late_server_span)
        if span is not None:
            aftermath.tell(escaped, spans.end, span)  # as the ledger, and after it
        # What was seen has been settled; the body asks again at its end.
        self.quiet = True

    @contained
    def take_status(self, status: str | None) -> None:
        """Take the status of the response, where nobody watched it start."""
        self.status = status
        code = code_of(status)
        if self._ledger is not None and code is not None:
            self._ledger.responded(code)

    @contained
    def _started(self, status: str, headers: Any, exc_info: Any) -> None:
        code = code_of(status)
        if exc_info or (code is not None and code >= 500):
            exc = exc_info[1] if exc_info else answered(_OUTERMOST)
            if exc is not None:
                self.take(exc, "call", None)
        if self._ledger is not None and code is not None:
            self._ledger.responded(code)
        if self._span is not None and code is not None:
            # Not yet on the span: a layer may replace it, and an ERROR stays.
            self._response = (status, headers)

    def _open(self) -> Ledger:
        ledger = Ledger(self.rules.settings, self.rules)
        ledger.start_ns = self.start_ns
        if self._span is not None:
            ledger.bind(self._span, inside=True)
        else:
            current = trace.get_current_span()
            ledger.bind(current, inside=spans.began(current) >= self.start_ns)
        code = code_of(self.status)
        if code is not None:
            ledger.responded(code)
        self._ledger = ledger
        return ledger

    def _late_server_span(self, status: int | None) -> Span | None:
        if stock.excluded(self.environ):
            return None
        span = server_span(self.environ, self.start_ns, None if self.status is None else status)
        if span is not None:
            self._name(span)
        return span

    @contained
    def _name(self, span: Span) -> None:
        stock.name_route(span, self.environ, self.route)

    @contained
    def _add_response(self, span: Span) -> None:
        if self._response is not None:
            stock.add_response(span, *self._response)


class Entry:
    """How requests come to an app.

    Attributes:
        rules: what its seams go by.
        run: what the outermost frame calls; None: `own`, with the app itself.
        own: a function of the app's class.
        stands_in: the frame is there in place of Flask's own.
        plain: no layer of the app's stands around Flask, and the span is none of ours.
    """

    __slots__ = ("own", "plain", "rules", "run", "stands_in")

    def __init__(
        self, rules: Rules, run: WSGIApp | None = None, *, own: Any = None, stands_in: bool = False
    ) -> None:
        self.rules = rules
        self.run = run
        self.own = own
        self.stands_in = stands_in
        self.plain = False


def __call__(self: Any, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Be the outermost frame of a request; within one, be a probe."""
    entry: Entry = self._everylayer
    if KEY in environ:
        return _within(self, environ, start_response)
    start_ns = time_ns()
    count()
    start = start_response
    request: Request | None = None
    # Where nothing can hide an error, only an error makes the request: see `around`.
    failed: list[Request] = []
    if not entry.plain:
        request = environ[KEY] = Request(entry.rules, environ, start_response, start_ns)
        start = request.start
        if entry.rules.starts_span:
            request.begin()
    try:
        run = entry.run
        body = entry.own(self, environ, start) if run is None else run(environ, start)
    except BaseException as exc:
        _escaped(exc, entry)
        raise
    finally:
        if request is not None:
            request.leave(environ)
    if type(body) is ClosingIterator:
        # A response that Flask put together, and nothing of the app's runs any more? Anything else,
        # other names in Werkzeug included, is looked at closely.
        try:
            response = body._callbacks[-1].__self__  # type: ignore[attr-defined]
            quiet = not failed if request is None else request.quiet
            if quiet and type(response.response) is list and not response._on_close:
                return body
        except (AttributeError, IndexError):
            pass
    if request is None:
        request = failed[0] if failed else Request(entry.rules, environ, start_response, start_ns)
        request.take_status(status_of(body))
    stand_in = _stand_in(body, request)
    return body if stand_in is None else stand_in


@contained
def _escaped(exc: BaseException, entry: Entry) -> None:
    request = around()
    if request is not None:
        request.see(exc)
        request.settle(exc)
    if not entry.stands_in:
        drop_frame(exc)


@contained
def _stand_in(body: Any, request: Request) -> Body | None:
    """Return what stands for `body`, None where no code of the app's runs any more."""
    foreign = is_foreign(body, request.environ)
    in_memory = not request.streams and (body is request.body or not streams(body))
    # A response that is there shows its span at once, whether or not somebody closes it.
    if foreign or (request.status is not None and in_memory):
        request.settle()
        if foreign or is_complete(body):
            return None
    return watched(body, request)


def _within(app: Any, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Run an app within a request whose outermost frame is another's."""
    entry: Entry = app._everylayer
    request: Request = environ[KEY]
    request.inner = entry.rules
    try:
        run = entry.run or functools.partial(entry.own, app)
        return run(environ, start_response)
    except BaseException as exc:
        request.see(exc)
        drop_frame(exc)
        raise


outermost = __call__


def of(environ: Environ) -> Request | None:
    """Return the request that `environ` belongs to.

    A layer may have put an environ of its own in place of the server's: then the request is that
    of the nearest frame of ours.
    """
    request = environ.get(KEY)
    return request if isinstance(request, Request) else around()


@contained
def show(exc: BaseException, environ: Environ) -> None:
    """Show `exc` to the request that `environ` belongs to, if there is one."""
    request = of(environ)
    if request is not None:
        request.see(exc)


def around() -> Request | None:
    """Return the request that the current frame works for, by the frames around it."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if code is _OUTERMOST or code is SENT or code is CLOSED:
            break
        frame = frame.f_back
    else:
        return None
    here = frame.f_locals
    if code is not _OUTERMOST:
        body: Body = here["self"]
        return body.request
    request: Request | None = here["request"]
    if request is not None:
        return request
    failed: list[Request] = here["failed"]
    if not failed:
        about = here["environ"], here["start_response"], here["start_ns"]
        failed.append(Request(here["entry"].rules, *about))
        failed[0].unwatched = True
    return failed[0]


_OUTERMOST = outermost.__code__
