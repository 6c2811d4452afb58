"""WSGI layers of every style that the corpus puts around an app."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from contract.faults import Fault, fault_site

WSGIApp = Callable[..., Iterable[bytes]]
TEXT = [("Content-Type", "text/plain")]


class RaisesBefore:
    def __init__(self, app: WSGIApp, fault: Fault) -> None:
        self.app, self.fault = app, fault

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        fault_site(self.fault)


class RaisesAfter(RaisesBefore):
    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        body = self.app(environ, start_response)
        close = getattr(body, "close", None)
        if close:
            close()
        fault_site(self.fault)


class DropsBody(RaisesBefore):
    """Raises with the inner body neither read nor closed."""

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        self.app(environ, start_response)
        fault_site(self.fault)


class RaisesInStart(RaisesBefore):
    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        def started(status: str, headers: Any, *rest: Any) -> Any:
            fault_site(self.fault)

        return self.app(environ, started)


class GeneratorRaisesBefore(RaisesBefore):
    def __call__(self, environ: Any, start_response: Any) -> Iterator[bytes]:
        fault_site(self.fault)
        yield from self.app(environ, start_response)


class GeneratorRaisesAfter(RaisesBefore):
    def __call__(self, environ: Any, start_response: Any) -> Iterator[bytes]:
        yield from self.app(environ, start_response)
        fault_site(self.fault)


def closure_layer(app: WSGIApp, fault: Fault) -> WSGIApp:
    """Return a layer that is a function, as many are."""

    def closure(environ: Any, start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/never":
            fault_site(fault)
        return app(environ, start_response)

    return closure


class Through:
    """Does nothing."""

    def __init__(self, app: WSGIApp) -> None:
        self.app = app

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        return self.app(environ, start_response)


class SlottedThrough:
    """Does nothing, and has no `__dict__`."""

    __slots__ = ("application",)

    def __init__(self, app: WSGIApp) -> None:
        self.application = app

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        return self.application(environ, start_response)


class GeneratorThrough(Through):
    def __call__(self, environ: Any, start_response: Any) -> Iterator[bytes]:
        yield from self.app(environ, start_response)


class CopiesEnviron(Through):
    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        return self.app(dict(environ), start_response)


class Recovers:
    """Answers for what fails inside it, from within its `except` block."""

    def __init__(self, app: WSGIApp, status: str) -> None:
        self.app, self.status = app, status

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        try:
            return self.app(environ, start_response)
        except Exception:
            start_response(self.status, TEXT, sys.exc_info())
            return [b"recovered"]


class RecoversQuietly(Recovers):
    """The same without handing `exc_info` on."""

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        try:
            return self.app(environ, start_response)
        except Exception:
            start_response(self.status, TEXT)
            return [b"recovered"]


class RecoversLater(Recovers):
    """The same after its `except` block, where nobody can see the error any more."""

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        failed = False
        try:
            return self.app(environ, start_response)
        except Exception:
            failed = True
        assert failed
        start_response(self.status, TEXT)
        return [b"recovered"]


class RecoversWhileSending(Recovers):
    """Ends a broken body with a last chunk."""

    def __call__(self, environ: Any, start_response: Any) -> Iterator[bytes]:
        try:
            yield from self.app(environ, start_response)
        except Exception:
            yield b"cut short"


class Translates(Through):
    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        try:
            return self.app(environ, start_response)
        except Exception as error:
            raise LookupError("translated") from error


class FallsBack(Through):
    """Looks something up first; a miss is its own business."""

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        try:
            return {}[environ["PATH_INFO"]]  # type: ignore[no-any-return]
        except KeyError:
            return self.app(environ, start_response)


class CloseRaises(RaisesBefore):
    """Hands out a body whose `close` raises."""

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        return _Closing(self.app(environ, start_response), self.fault)


class _Closing:
    def __init__(self, body: Iterable[bytes], fault: Fault) -> None:
        self.body, self.fault = body, fault

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.body)

    def close(self) -> None:
        fault_site(self.fault)


class ReplacesEnviron(Through):
    """Hands on an environ that it made by itself."""

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        plain = {k: v for k, v in environ.items() if isinstance(v, str) or k.startswith("wsgi.")}
        plain["wsgi.input"] = io.BytesIO()
        return self.app(plain, start_response)
