"""The server span of a WSGI request: ours where there is none, and the one stock leaves open."""

from __future__ import annotations

from typing import Any

from opentelemetry import propagate
from opentelemetry.context import Context
from opentelemetry.trace import Span

from . import spans
from .chain import traceback_of
from .failsafe import contained
from .http_span import opted_in, start, wanted
from .ledger import Ledger
from .text import clean_values
from .wsgi_types import Environ

# What a URL cannot be made without.
_OF_A_SERVER = frozenset({"SERVER_NAME", "SERVER_PORT", "wsgi.url_scheme"})
_MODULE = "opentelemetry.instrumentation.wsgi"
_GENERATOR = "_end_span_after_iterating"


@contained
def bind_left(ledger: Ledger, exc: BaseException) -> None:
    """Bind the server span that `exc` has left behind on its way out of a body.

    It is not the current one while the body is closed, and is never ended if that fails.
    """
    tb = traceback_of(exc)
    while tb is not None:
        frame = tb.tb_frame
        if frame.f_code.co_name == _GENERATOR and frame.f_globals.get("__name__") == _MODULE:
            span = frame.f_locals.get("span")
            # An exception that is raised again may have passed another request before.
            if isinstance(span, Span) and _began_in(span, ledger) and spans.is_server(span):
                ledger.bind(span, inside=True)
                return
        tb = tb.tb_next


def _began_in(span: Span, ledger: Ledger) -> bool:
    return (getattr(span, "start_time", None) or 0) >= ledger.start_ns


def server_span(
    environ: Environ, start_ns: int, status: int | None, parent: Context | None = None
) -> Span | None:
    """Start the server span of a request after the fact, as the WSGI instrumentation would have.

    Args:
        environ: the request's.
        start_ns: when the request began, nanoseconds since the epoch.
        status: of the response, None where there was none.
        parent: what the headers carry, where that has been read already.

    Returns:
        A started span in the trace that the request's headers name; None without a provider, and
        where instrumentation is suppressed.
    """
    if not wanted():
        return None
    if parent is None:
        parent = request_context(environ)
    return start(_name(environ), parent, _attributes(environ), start_ns, status)


# The instrumentation is a dependency of the framework packages; the core alone does without.


@contained
def _name(environ: Environ) -> str:
    from opentelemetry.instrumentation import wsgi

    return wsgi.get_default_span_name(environ)


@contained
def request_context(environ: Environ) -> Context:
    """Return the context that the request's headers carry."""
    from opentelemetry.instrumentation import wsgi

    return propagate.extract(environ, getter=wsgi.wsgi_getter)


@contained
def _attributes(environ: Environ) -> dict[str, Any]:
    from opentelemetry.instrumentation import wsgi

    # A request that some code made by hand, and that no server has seen, has no address to tell.
    if not environ.keys() >= _OF_A_SERVER:
        return {}
    served = {name: _as_served(environ.get(name, "")) for name in ("SCRIPT_NAME", "PATH_INFO")}
    found: dict[str, Any] = wsgi.collect_request_attributes({**environ, **served}, **opted_in())
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
