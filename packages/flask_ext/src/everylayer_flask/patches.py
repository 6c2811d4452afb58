"""What is changed on a Flask app, and how it is put back.

| target | why | undone by |
|---|---|---|
| `app.__class__`: a subclass of it | outermost frame, error handling | the class it had |
| `app.wsgi_app`: a property there | layers assigned later | what was assigned |
| `layer.__class__` of WSGI layers | errors that outer layers hide | the class it had |
| where a layer that is a function is held | the same | the function |
| `app.logger`: a filter, from the first error on | what fails in an error's response | taken off |

Tried with Flask 2.3, 3.0 and 3.1.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable
from types import MethodType
from typing import Any

from flask import Flask

from everylayer.chain import drop_frame
from everylayer.failsafe import contained
from everylayer.settings import Settings
from everylayer.wsgi import Environ, StartResponse, WSGIApp

from . import probes, request, stock, walk
from .body import streams, watched
from .naming import FlaskRules
from .seams import STATE, seams_of, unlisten

_logger = logging.getLogger("everylayer.flask")


class Adoption(request.Entry):
    """One adopted app: how requests come to it, and what was changed.

    Attributes:
        chain: what `app.wsgi_app` is.
    """

    __slots__ = ("_app", "_base", "_cls", "_own", "_undo", "active", "chain")

    def __init__(self, app: Flask, settings: Settings) -> None:
        self._app = app
        self._cls = type(app)
        self._own = MethodType(self._cls.wsgi_app, app)
        self._undo: list[probes.Undo] = []
        self.active = True
        replaced = self._cls.__call__ is Flask.__call__
        rules = FlaskRules(settings, app)
        super().__init__(rules, MethodType(self._cls.__call__, app), stands_in=replaced)
        self._base = self._innermost(self._own)
        self.chain: WSGIApp = self._base
        self.wrap(self._base)

    def wrap(self, layer: Any) -> None:
        """Make `layer` the app's outermost WSGI layer."""
        self._restore()
        bare = self._is_base(layer)
        self.chain = self._base if bare else layer
        self.plain = bare
        if bare:
            self.rules.know(())
        else:
            self._probe(layer)
        self.plain = self.plain and not self.rules.starts_span
        if self.stands_in:
            self.run = self._own if bare else self.chain

    def unwrap(self) -> None:
        """Take all layers off, as `del app.wsgi_app` does."""
        if self.chain is self._base:
            raise AttributeError("wsgi_app")
        self.wrap(self._base)

    def end(self) -> None:
        """Put everything back."""
        self.active = False
        self._restore()
        chain = self.chain
        unlisten(self._app)
        self._app.__class__ = self._cls
        vars(self._app).pop(STATE, None)
        if chain is not self._base:
            vars(self._app)["wsgi_app"] = chain

    def _restore(self) -> None:
        while self._undo:
            self._undo.pop()()

    @contained
    def _probe(self, outermost: Any) -> None:
        path = walk.path_to(outermost, self._is_base)
        places = [walk.Place(outermost, self._set_chain), *path[:-1]]
        self.rules.know(probes.layers_of(places))
        self.plain = bool(path) and all(stock.is_stock(place.held) for place in places)
        # What leaves the outermost layer leaves the app, unless its own `__call__` catches it.
        self._undo += probes.put_around(places[1:] if self.stands_in else places)
        if path:
            # Between stock and the app nobody hides an error.
            held, put, *_ = path[-1]
            put(self._own if self.plain else self._base)
            self._undo.append(functools.partial(put, held))

    def _set_chain(self, layer: Any) -> None:
        self.chain = layer

    def _is_base(self, layer: Any) -> bool:
        return layer is self._base or (
            isinstance(layer, MethodType)
            and layer.__self__ is self._app
            and layer.__name__ == "wsgi_app"
        )

    def _innermost(self, own: WSGIApp) -> WSGIApp:
        """Return the app's own function, which shows what leaves it to the request around it.

        Served without its app, below a layer that was given `app.wsgi_app`, it is the outermost
        frame itself.
        """

        def wsgi_app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
            current = environ.get(request.KEY)
            if current is None:
                current = request.around()
                if current is None:
                    return alone(environ, start_response)
                environ[request.KEY] = current
            current.environ = environ
            try:
                body = own(environ, start_response)
            except BaseException as exc:
                current.see(exc)
                drop_frame(exc)
                raise
            try:
                # As in `request`: the names are Werkzeug's own.
                if type(body._callbacks[-1].__self__.response) is list:  # type: ignore[attr-defined]
                    return body
            except (AttributeError, IndexError):
                pass
            if streams(body):
                current.streams = True
                return watched(body, current, outermost=False)
            return body

        def alone(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
            if not self.active:
                return own(environ, start_response)
            return _Alone(request.Entry(self.rules, own))(environ, start_response)

        wsgi_app.__doc__ = own.__doc__
        return wsgi_app


class _Alone:
    """The app's own function, served without the app."""

    __slots__ = ("_everylayer",)

    def __init__(self, entry: request.Entry) -> None:
        self._everylayer = entry

    __call__ = request.outermost


def adoption_of(app: Flask) -> Adoption | None:
    """Return what was changed on `app`, None if nothing was."""
    found = vars(app).get(STATE)
    return found if isinstance(found, Adoption) else None


def adopt(app: Flask, settings: Settings) -> None:
    """Put the seams on `app`; once only, but the last settings count."""
    known = adoption_of(app)
    if known is not None:
        known.rules.settings = settings
        known.wrap(known.chain)
        return
    try:
        made = _subclass(type(app))
    except (AttributeError, TypeError) as error:
        _logger.warning(
            "everylayer does not fit the Flask app %r (%s: %s). Errors that it handles by itself "
            "are not recorded; wrap it in everylayer_flask.EveryLayerMiddleware for the others.",
            app.name,
            type(error).__name__,
            error,
        )
        return
    layers = vars(app).pop("wsgi_app", None)
    made_for = Adoption(app, settings)
    vars(app)[STATE] = made_for
    app.__class__ = made
    if layers is not None:
        made_for.wrap(layers)


def release(app: Flask) -> None:
    """Take the seams off `app`."""
    known = adoption_of(app)
    if known is not None:
        known.end()


def _subclass(cls: Any) -> Any:
    namespace = {
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        "__doc__": cls.__doc__,
        **seams_of(cls),
    }
    return type(cls)(cls.__name__, (cls,), namespace)
