"""Around a request: its tenant is set when it comes in, and gone when it is over.

They stand outside of everything else, so that the server span already begins under the tenant; and
they are put in place only for an app whose settings ask for tenants.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextvars import Token
from typing import Any

from opentelemetry import propagate, trace
from opentelemetry.trace import SpanKind

from ..asgi_types import Receive, Scope, Send
from ..chain import drop_frame
from ..failsafe import contained
from ..settings import Settings
from ..sinks.attributes import TENANT
from ..wsgi_types import Environ, StartResponse, is_file
from .tenant import CURRENT, leave
from .tenant_source import Carrier, Policy, policy_of

# In the scope or environ of a request whose tenant is set: apps within it leave it alone.
KEY = "everylayer.tenant"

AsgiCall = Callable[[Any, Scope, Receive, Send], Awaitable[None]]
WsgiCall = Callable[[Any, Environ, StartResponse], Iterable[bytes]]

_equipped: Any = None


def enter(policy: Policy, carrier: Carrier) -> Token[str | None]:
    """Set the tenant of the request that `carrier` belongs to; give the token to `leave`."""
    name = policy.tenant_of(carrier)
    token = CURRENT.set(name)
    if name:
        _mark(name)
    if policy.baggage:
        _send_on(policy.baggage)
    return token


@contained
def _mark(name: str) -> None:
    global _equipped
    span = trace.get_current_span()
    # One that began further out, before anybody knew.
    if getattr(span, "kind", None) is SpanKind.SERVER:
        span.set_attribute(TENANT, name)
    provider = trace.get_tracer_provider()
    if provider is not _equipped:
        if hasattr(provider, "add_span_processor"):
            from .tenant_spans import equip

            equip(provider)
        _equipped = provider


@contained
def _send_on(key: str) -> None:
    if key not in getattr(propagate.get_global_textmap(), "keys", ()):
        from .tenant_spans import send_on

        send_on(key)


def around_asgi(call: AsgiCall, policy: Policy) -> AsgiCall:
    """Return the `__call__` of an ASGI app with the tenant set around it."""

    async def __call__(self: Any, scope: Scope, receive: Receive, send: Send) -> None:
        if KEY in scope or scope["type"] == "lifespan":
            await call(self, scope, receive, send)
            return
        token = enter(policy, scope)
        scope[KEY] = CURRENT.get()
        try:
            await call(self, scope, receive, send)
        except BaseException as exc:
            drop_frame(exc)
            raise
        finally:
            scope.pop(KEY, None)
            leave(token)

    return __call__


def around_wsgi(call: WsgiCall, policy: Policy) -> WsgiCall:
    """Return the `__call__` of a WSGI app with the tenant set around it, and around its body."""

    def __call__(self: Any, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if KEY in environ:
            return call(self, environ, start_response)
        token = enter(policy, environ)
        environ[KEY] = name = CURRENT.get()
        try:
            body = call(self, environ, start_response)
        except BaseException as exc:
            drop_frame(exc)
            raise
        finally:
            environ.pop(KEY, None)
            leave(token)
        if body is None or isinstance(body, (list, tuple)) or is_file(body, environ):
            return body
        return (SizedBody if hasattr(type(body), "__len__") else Body)(body, name)

    return __call__


class Body:
    """A response body that is made, and closed, for the tenant of its request."""

    __slots__ = ("_body", "_iterator", "_name")

    def __init__(self, body: Iterable[bytes], name: str | None) -> None:
        self._body = body
        self._name = name
        self._iterator: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        token = CURRENT.set(self._name)
        try:
            if self._iterator is None:
                self._iterator = iter(self._body)
            return next(self._iterator)
        except StopIteration:
            raise
        except BaseException as exc:
            drop_frame(exc)
            raise
        finally:
            leave(token)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)

    def close(self) -> None:
        """Close the body."""
        inner = getattr(self._body, "close", None)
        if inner is None:
            return
        token = CURRENT.set(self._name)
        try:
            inner()
        except BaseException as exc:
            drop_frame(exc)
            raise
        finally:
            leave(token)


class SizedBody(Body):
    """A body whose length tells the server whether the first chunk is the whole response."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(self._body)  # type: ignore[arg-type]


def surround(app: Any, around: Callable[[Any, Policy], Any], settings: Settings) -> None:
    """Put `around` about the calls of this one `app`, if its settings ask for tenants.

    It gets a class of its own: a special method is looked for there, and nobody else's changes.
    """
    policy = policy_of(settings)
    if policy is None:
        return
    cls = type(app)
    own = {
        "__slots__": (),
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        "__doc__": cls.__doc__,
        "__call__": around(cls.__call__, policy),
    }
    make: Any = type(cls)
    app.__class__ = make(cls.__name__, (cls,), own)
