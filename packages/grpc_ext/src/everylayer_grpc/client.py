"""The seams of a synchronous client: an interceptor, and a watch inside that of stock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc
from opentelemetry import context as otel
from opentelemetry import trace

from everylayer import spans
from everylayer.boundaries.aftermath import hand_over
from everylayer.boundaries.patch import Switch
from everylayer.chain import drop_frame
from everylayer.failsafe import contained
from everylayer.settings import Settings

from .client_call import CLIENT, ClientCall, End, begin, carrying
from .remote import listen

_ADD = "add_done_callback"


class Details(grpc.ClientCallDetails):
    """What gRPC knows of a call before it begins, with other metadata."""

    def __init__(self, given: Any, metadata: Any) -> None:
        self.method = given.method
        self.timeout = given.timeout
        self.metadata = metadata
        self.credentials = given.credentials
        self.wait_for_ready = getattr(given, "wait_for_ready", None)
        self.compression = getattr(given, "compression", None)


class ClientSeam(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Begins the client span where stock does not, and puts the RPC's end on it."""

    def __init__(self, settings: Settings, stock_begins: Callable[[], bool]) -> None:
        listen(settings)
        self._settings = settings
        self._stock_begins = stock_begins

    def _intercept(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        details = client_call_details
        call = None if self._stock_begins() else begin(self._settings, details.method)
        if call is None:
            return continuation(details, request)
        within = trace.set_span_in_context(call.target)
        token = otel.attach(within)
        marked = CLIENT.set(call)
        try:
            sent = Details(details, carrying(details.metadata, within))
            outcome = continuation(sent, request)
        except BaseException as exc:
            call.failed(exc, end_of(exc))
            drop_frame(exc)
            call.finish()
            raise
        finally:
            CLIENT.reset(marked)
            spans.detach(token)
        return watched(outcome, call)

    intercept_unary_unary = _intercept
    intercept_unary_stream = _intercept
    intercept_stream_unary: Any = _intercept
    intercept_stream_stream: Any = _intercept


def watched(outcome: Any, call: ClientCall) -> Any:
    """Return `outcome`; when it ends, `call` is told."""
    if isinstance(outcome, grpc.Future):
        outcome.add_done_callback(lambda done: _settle(done, call))
        return outcome
    if hasattr(outcome, "__next__"):
        return Watched(outcome, call)
    # A plain response, or one with its call: there is nothing more to come.
    _tell_ok(call)
    return outcome


class Watched:
    """A stream of responses that cannot tell of its end by itself."""

    __slots__ = ("_call", "_inner")

    def __init__(self, inner: Any, call: ClientCall) -> None:
        self._inner = inner
        self._call = call

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            return next(self._inner)
        except StopIteration:
            _tell_ok(self._call)
            raise
        except BaseException as exc:
            self._call.failed(exc, end_of(exc))
            drop_frame(exc)
            self._call.finish()
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __del__(self) -> None:
        if not self._call.finished:
            hand_over(self._call.finish)


@contained
def _tell_ok(call: ClientCall) -> None:
    if call.own:
        call.target.set_attributes({"rpc.status_code": "OK", "rpc.grpc.status_code": 0})
    call.finish()


@contained
def _settle(done: Any, call: ClientCall) -> None:
    code = done.code()
    if code in (None, grpc.StatusCode.OK):
        _tell_ok(call)
        return
    end = end_of(done)
    # What an interceptor inside has raised is held by what stands for the call.
    exc = done if end is not None and end.cancelled_here else done.exception()
    call.failed(exc, end)
    call.finish()


@contained
def end_of(outcome: Any) -> End | None:
    """Return how an RPC ended, from its error or its call; None of another exception."""
    if not isinstance(outcome, grpc.Call):
        return None
    code = outcome.code() or grpc.StatusCode.UNKNOWN
    cancelled = code is grpc.StatusCode.CANCELLED and getattr(outcome, "cancelled", bool)()
    return End(code, outcome.details() or "", outcome.trailing_metadata() or (), cancelled)


def inside_stock(
    settings: Callable[[], Settings], original: Callable[..., Any], switch: Switch
) -> Any:
    """Return stock's method for an RPC, with a watch inside the span that it begins."""

    def intercept(self: Any, request: Any, metadata: Any, client_info: Any, invoker: Any) -> Any:
        method = client_info.full_method
        outer = CLIENT.get()
        if outer is not None and outer.method == method:
            return invoker(request, metadata)  # One span an RPC, and that one is there.

        waiting: list[_BeforeStock] = []
        by_generator = False

        def watching(request: Any, metadata: Any) -> Any:
            target = trace.get_current_span()
            rules = settings()
            if not (switch.on and rules.enabled and spans.recording(target)):
                return invoker(request, metadata)
            try:
                outcome = invoker(request, metadata)
            except BaseException as exc:
                ClientCall(rules, method, target, own=False).failed(exc, end_of(exc))
                drop_frame(exc)
                raise
            if isinstance(outcome, grpc.Future):
                call = ClientCall(rules, method, target, own=False)
                if by_generator:
                    # It ends the span by what it raises, in the thread that reads.
                    outcome.add_done_callback(lambda done: _settle(done, call))
                    return Watched(outcome, call)
                waiting.append(_BeforeStock(outcome, call))
            elif hasattr(outcome, "__next__"):
                return Watched(outcome, ClientCall(rules, method, target, own=False))
            return outcome

        try:
            return original(self, request, metadata, client_info, watching)
        finally:
            by_generator = True  # Nothing else of stock's is still to ask for the outcome.
            for found in waiting:
                found.settled()

    return intercept


class _BeforeStock:
    """Has the end of an RPC told right before stock, which ends the span then, hears of it.

    Two callbacks would do, were it not that gRPC calls those that are added after the end at once,
    in the thread that adds them, while another one may not have begun with the first.
    """

    __slots__ = ("_add", "_call", "_state")

    def __init__(self, outcome: Any, call: ClientCall) -> None:
        self._call = call
        self._add = outcome.add_done_callback
        self._state: dict[str, Any] | None = getattr(outcome, "__dict__", None)
        if self._state is None or _ADD in self._state:
            self._state = None
            self._add(self._told)
        else:
            self._state[_ADD] = self._with_stocks

    def settled(self) -> None:
        """Add what is ours alone, if stock has added nothing."""
        if self._state is not None:
            self._restore()
            self._add(self._told)

    def _restore(self) -> None:
        if self._state is not None:
            del self._state[_ADD]
            self._state = None

    def _told(self, done: Any) -> None:
        _settle(done, self._call)

    def _with_stocks(self, callback: Callable[[Any], object]) -> None:
        self._restore()

        def told(done: Any) -> None:
            self._told(done)
            callback(done)

        self._add(told)
