"""Neutral WSGI seams: around a whole app, and between two layers.

Source: PEP 3333.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.instrumentation.utils import is_http_instrumentation_enabled
from opentelemetry.trace import Span, SpanKind

from .asgi import ClientStatus, no_client_status
from .asgi_span import provider_configured
from .boundaries import answer, arrival
from .boundaries.aftermath import hand_over
from .chain import drop_frame
from .failsafe import contained
from .layers import Layer, LayerMap
from .ledger import Ledger
from .observer import observe
from .settings import Settings
from .sinks.served import count
from .text import clean, clean_values
from .wsgi_span import bind_left

Environ = dict[str, Any]
StartResponse = Callable[..., Callable[[bytes], object]]
WSGIApp = Callable[[Environ, StartResponse], Iterable[bytes]]

ENVIRON_KEY = "everylayer.ledger"
# What a URL cannot be made without.
_OF_A_SERVER = frozenset({"SERVER_NAME", "SERVER_PORT", "wsgi.url_scheme"})


class Probe:
    """Shows what crosses it to the request's ledger, and passes everything on unchanged."""

    __slots__ = ("__weakref__", "app", "client_status", "layer")

    def __init__(
        self,
        app: WSGIApp,
        layer: Layer | None = None,
        client_status: ClientStatus = no_client_status,
    ) -> None:
        self.app = app
        self.layer = layer
        self.client_status = client_status

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        try:
            return self.app(environ, start_response)
        except BaseException as exc:
            see(exc, environ, self.layer, self.client_status)
            drop_frame(exc)
            raise


class Seam:
    """The outermost seam: one ledger a request, from its first layer to the close of its body.

    Args:
        app: the application, or its outermost layer.
        settings: the rules in force.
        layers: names layers from tracebacks.
        layer: what to call the app itself where nothing better is known.
        client_status: status that the framework gives an exception.
    """

    __slots__ = ("__weakref__", "app", "client_status", "layer", "layers", "settings")

    def __init__(
        self,
        app: WSGIApp,
        settings: Settings,
        layers: LayerMap | None = None,
        layer: Layer | None = None,
        client_status: ClientStatus = no_client_status,
    ) -> None:
        self.app = app
        self.settings = settings
        self.layers = layers
        self.layer = layer
        self.client_status = client_status
        if settings.tenant != "off":
            from .boundaries.tenant_seams import around_wsgi, surround

            surround(self, around_wsgi, settings)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        outer = environ.get(ENVIRON_KEY)
        if outer is not None and outer.running:
            try:
                return self.app(environ, start_response)
            except BaseException as exc:
                see(exc, environ, self.layer, self.client_status)
                drop_frame(exc)
                raise
        count()
        ledger = Exchange(self.settings, self.layers)
        ledger.bind(trace.get_current_span())
        environ[ENVIRON_KEY] = ledger
        try:
            start = watch_start(start_response, ledger, self.layer, self.client_status, environ)
            body = self.app(environ, start)
        except BaseException as exc:
            see(exc, environ, self.layer, self.client_status)
            drop_frame(exc)
            close(ledger, environ, exc)
            raise
        if isinstance(body, (list, tuple)) or is_file(body, environ):
            close(ledger, environ)
            return body
        wrapped = SizedBody if hasattr(type(body), "__len__") else Body
        return wrapped(body, ledger, environ, self.layer)


def is_file(body: Iterable[bytes], environ: Environ) -> bool:
    """Tell whether the server may send `body` by a system call, so that it must stay as it is."""
    wrapper = environ.get("wsgi.file_wrapper")
    return isinstance(wrapper, type) and isinstance(body, wrapper)


class Exchange(Ledger):
    """The ledger of a WSGI request."""

    framework = "wsgi"


class Body:
    """A response body that shows what fails while it is sent, and closes the ledger at its end."""

    __slots__ = ("_body", "_environ", "_iterator", "_layer", "_ledger")

    def __init__(
        self, body: Iterable[bytes], ledger: Ledger, environ: Environ, layer: Layer | None = None
    ) -> None:
        self._body = body
        self._ledger = ledger
        self._environ = environ
        self._layer = layer
        self._iterator: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            if self._iterator is None:
                self._iterator = iter(self._body)
            return next(self._iterator)
        except StopIteration:
            raise
        except BaseException as exc:
            self._failed(exc, "stream")
            drop_frame(exc)
            raise

    def close(self) -> None:
        """Close the body, then the request."""
        try:
            inner = getattr(self._body, "close", None)
            if inner is not None:
                inner()
        except BaseException as exc:
            self._failed(exc, "close")
            drop_frame(exc)
            raise
        finally:
            close(self._ledger, self._environ)

    def __del__(self) -> None:
        # An outer layer that fails may drop the body unclosed.
        if self._ledger.errors and self._ledger.running:
            hand_over(close, self._ledger, self._environ)
        elif self._ledger.running:
            self._ledger.close()

    def _failed(self, exc: BaseException, phase: str) -> None:
        bind_left(self._ledger, exc)
        observe(exc, self._layer, phase, ledger=self._ledger)
        close(self._ledger, self._environ, exc)


class SizedBody(Body):
    """A body whose length tells the server whether the first chunk is the whole response."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(self._body)  # type: ignore[arg-type]


def see(
    exc: BaseException,
    environ: Environ,
    layer: Layer | None,
    client_status: ClientStatus,
    phase: str = "call",
) -> None:
    """Show `exc` to the ledger of the request whose `environ` this is."""
    ledger = environ.get(ENVIRON_KEY)
    observe(exc, layer, phase, ledger=ledger, client_status=_status_of(exc, client_status))
    arrival.note(ledger, environ)


def watch_start(
    start_response: StartResponse,
    ledger: Ledger,
    layer: Layer | None = None,
    client_status: ClientStatus = no_client_status,
    environ: Environ | None = None,
) -> StartResponse:
    """Return `start_response`, which tells `ledger` of the status and of the error it answers."""
    before = sys.exc_info()[1]

    def started(status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], object]:
        exc = exc_info[1] if exc_info else sys.exc_info()[1]
        if exc is not None and exc is not before:
            observe(exc, layer, "call", ledger=ledger, client_status=_status_of(exc, client_status))
            arrival.note(ledger, environ)
        _responded(ledger, status)
        if ledger.page is not None:
            headers = telling(ledger, status, headers) or headers
        try:
            if exc_info is None:
                return start_response(status, headers)
            return start_response(status, headers, exc_info)
        except BaseException as raised:
            drop_frame(raised)
            raise

    return started


@contained
def _responded(ledger: Ledger, status: str) -> None:
    ledger.responded(int(status[:3]))


@contained
def telling(ledger: Ledger, status: str, headers: Any) -> list[tuple[str, str]] | None:
    """Return `headers` with the one that tells of the error; None to leave them as they are."""
    code = int(status[:3])
    if not answer.due(ledger, code):
        return None
    name = ledger.settings.error_context_header
    present = next((value for key, value in headers if key.lower() == name), "")
    value = answer.value_for(ledger, code, present)
    if value is None:
        return None
    return [*((k, v) for k, v in headers if k.lower() != name), (name, value)]


@contained
def _status_of(exc: BaseException, client_status: ClientStatus) -> int | None:
    return client_status(exc)


def close(ledger: Ledger, environ: Environ, escaped: BaseException | None = None) -> None:
    """Close `ledger`; the request's server span is made afterwards where there was none."""
    if ledger.errors:
        ledger.close(escaped, lambda status: server_span(environ, ledger.start_ns, status))
    else:
        ledger.close()


def server_span(environ: Environ, start_ns: int, status: int | None) -> Span | None:
    """Start the server span of a request after the fact, as the WSGI instrumentation would have.

    Args:
        environ: the request's.
        start_ns: when the request began, nanoseconds since the epoch.
        status: of the response, None where there was none.

    Returns:
        A started span in the trace that the request's headers name; None without a provider, and
        where instrumentation is suppressed.
    """
    if not provider_configured() or not is_http_instrumentation_enabled():
        return None
    span = trace.get_tracer("everylayer").start_span(
        clean(_name(environ) or "HTTP"),
        context=_parent(environ),
        kind=SpanKind.SERVER,
        start_time=start_ns,
        attributes=_attributes(environ),
    )
    if status is not None:
        span.set_attribute("http.status_code", status)
    return span


# The instrumentation is a dependency of the framework packages; the core alone does without.


@contained
def _name(environ: Environ) -> str:
    from opentelemetry.instrumentation import wsgi

    return wsgi.get_default_span_name(environ)


@contained
def _parent(environ: Environ) -> Context:
    from opentelemetry.instrumentation import wsgi

    return propagate.extract(environ, getter=wsgi.wsgi_getter)


@contained
def _attributes(environ: Environ) -> dict[str, Any]:
    from opentelemetry.instrumentation import wsgi

    # A request that some code made by hand, and that no server has seen, has no address to tell.
    if not environ.keys() >= _OF_A_SERVER:
        return {}
    served = {name: _as_served(environ.get(name, "")) for name in ("SCRIPT_NAME", "PATH_INFO")}
    found: dict[str, Any] = wsgi.collect_request_attributes({**environ, **served})
    return clean_values(found)


def _as_served(path: str) -> str:
    """Return `path` as a server gives it, one character a byte: the URL is made from those.

    Django's test client gives text instead.
    """
    try:
        path.encode("latin-1")
    except UnicodeEncodeError:
        return path.encode("utf-8", "backslashreplace").decode("latin-1")
    return path
