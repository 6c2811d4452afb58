"""The app's own WSGI function: what leaves it is shown before the app's layers can hide it."""

from __future__ import annotations

from collections.abc import Iterable
from types import CodeType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from werkzeug.wsgi import ClosingIterator

from everylayer.chain import drop_frame
from everylayer.wsgi_types import Environ, StartResponse, WSGIApp

from . import request
from .body import streams, watched

if TYPE_CHECKING:
    from .patches import Adoption

_OWN = "_everylayer_own"


def innermost(adoption: Adoption, own: MethodType) -> WSGIApp:
    """Return `own`, the app's bound function, with a probe around it.

    Served without its app, below a layer that was given `app.wsgi_app`, it is the outermost frame
    itself.
    """

    def wsgi_app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        current = environ.get(request.KEY)
        if current is None:
            current = request.around()
            if current is None:
                return _alone(adoption, own, environ, start_response)
            environ[request.KEY] = current
        current.environ = environ
        try:
            body = own(environ, start_response)
        except BaseException as exc:
            current.see(exc)
            drop_frame(exc)
            raise
        if type(body) is ClosingIterator:
            # As in `request`: the names are Werkzeug's own.
            try:
                if type(body._callbacks[-1].__self__.response) is list:  # type: ignore[attr-defined]
                    return body
            except (AttributeError, IndexError):
                pass
            if streams(body):
                current.streams = True
                return watched(body, current, outermost=False)
            current.body = body
        return body  # type: ignore[no-any-return]

    wsgi_app.__doc__ = own.__doc__
    vars(wsgi_app)[_OWN] = own
    return wsgi_app


def made_from(layer: Any) -> Any:
    """Return the bound function that `layer` was made from, None if it was not made here."""
    # By its code: `functools.wraps` gives an app's own layer the attributes of ours.
    made_here = type(layer) is FunctionType and layer.__code__ is _CODE
    return vars(layer)[_OWN] if made_here else None


(_CODE,) = (const for const in innermost.__code__.co_consts if isinstance(const, CodeType))


def _alone(
    adoption: Adoption, own: WSGIApp, environ: Environ, start_response: StartResponse
) -> Iterable[bytes]:
    if not adoption.active:
        return own(environ, start_response)
    return _Alone(request.Entry(adoption.rules, own))(environ, start_response)


class _Alone:
    """The app's own function, served without the app."""

    __slots__ = ("_everylayer",)

    def __init__(self, entry: request.Entry) -> None:
        self._everylayer = entry

    __call__ = request.outermost
