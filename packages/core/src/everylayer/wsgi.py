"""Neutral WSGI seams: around a whole app, and between two layers.

Source: PEP 3333.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from opentelemetry import trace

from . import here
from .boundaries import answer, arrival
from .boundaries.aftermath import hand_over
from .chain import drop_frame
from .failsafe import contained
from .layers import Layer
from .ledger import Ledger
from .observer import observe
from .policy import ClientStatus, no_client_status
from .seam import BaseProbe, BaseSeam
from .settings import Settings
from .sinks.served import count
from .wsgi_span import bind_left, server_span
from .wsgi_types import Environ, StartResponse, WSGIApp, is_file

ENVIRON_KEY = "everylayer.ledger"


class Probe(BaseProbe[WSGIApp]):
    """Shows what crosses it to the request's ledger, and passes everything on unchanged."""

    __slots__ = ()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        try:
            return self.app(environ, start_response)
        except BaseException as exc:
            see(exc, environ, self.layer, self.client_status)
            drop_frame(exc)
            raise


class Seam(BaseSeam[WSGIApp]):
    """The outermost seam: one ledger a request, from its first layer to the close of its body."""

    __slots__ = ()

    def _surround(self, settings: Settings) -> None:
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


here.told_by(Seam.__call__, here.of_ledger)


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
