"""What is changed on a Flask app, and how it is put back.

| target | why | undone by |
|---|---|---|
| `app.__class__`: a subclass of it | outermost frame, error handling | the class it had |
| `app.wsgi_app`: a property there | layers assigned later | what was assigned |
| `layer.__class__` of WSGI layers | errors that outer layers hide | the class it had |
| where a layer that is a function is held | the same | the function |
| `app.logger.exception`, or a filter, after an error | what fails in its response | taken off |
| `app.wsgi_app`: a layer, where none of this fits | what leaves the app | what was there |

Tried with Flask 2.3, 3.0, 3.1 and what is to be 3.2. A method of Flask that is not what it was is
left alone, with a line in the log.
"""

from __future__ import annotations

import functools
import logging
import warnings
import weakref
from types import MethodType
from typing import Any

from flask import Flask

from everylayer import here, monitor, wsgi
from everylayer.failsafe import contained
from everylayer.settings import Settings
from everylayer.wsgi_types import WSGIApp

from . import handled, probes, request, stock, walk
from .innermost import innermost, made_from
from .naming import FlaskRules, client_status
from .seams import STATE, seams_of, unknown, unlisten

_logger = logging.getLogger("everylayer.flask")

here.told_by(request.outermost, lambda variables: variables["entry"].rules.settings)


class Adoption(request.Entry):
    """One adopted app: how requests come to it, and what was changed.

    It holds the app weakly: Flask promises that an app goes when its last user lets go of it.

    Attributes:
        active: the seams are on the app.
        logger: the app's, once it is listened to.
    """

    __slots__ = ("_app", "_chain", "_cls", "_undo", "active", "logger")

    def __init__(self, app: Flask, settings: Settings, left_out: frozenset[str]) -> None:
        cls = type(app)
        stands_in = _is_flasks_own(cls.__call__) and "wsgi_app" not in left_out
        own = cls.wsgi_app if stands_in else cls.__call__
        super().__init__(FlaskRules(settings, app), own=own, stands_in=stands_in)
        self._app = weakref.ref(app)
        self._cls = cls
        self._chain: WSGIApp | None = None
        self._undo: list[probes.Undo] = []
        self.active = True
        self.logger: logging.Logger | None = None
        self.wrap(app, None)

    def outermost_layer(self, app: Flask) -> WSGIApp:
        """Return what `app.wsgi_app` is."""
        return self._chain or innermost(self, MethodType(self._cls.wsgi_app, app))

    def wrap(self, app: Flask, layer: Any) -> None:
        """Make `layer` the app's outermost WSGI layer; None takes all layers off."""
        self._restore()
        self._chain = None if layer is None or self._is_base(layer) else layer
        self.plain = self._chain is None
        self.rules.know(())
        handled.watch(self.rules, ())
        if self._chain is not None:
            self._probe(app, layer)
        self.plain = self.plain and not self.rules.starts_span
        self.run = self._chain if self.stands_in else None
        handled.watch_hooks_once(self, app)

    def assign(self, app: Flask, layer: Any) -> None:
        """Do what `app.wsgi_app = layer` does."""
        self.wrap(app, layer)
        # The property hides it; `mock.patch` puts back what it finds there, or else deletes.
        if self._chain is None:
            vars(app).pop("wsgi_app", None)
        else:
            vars(app)["wsgi_app"] = layer

    def rewrap(self, app: Flask) -> None:
        """Look at the layers again."""
        self._restore()  # First: the outermost may be a probe of ours.
        self.wrap(app, self._chain)

    def unwrap(self, app: Flask) -> None:
        """Take all layers off, as `del app.wsgi_app` does."""
        if self._chain is None:
            raise AttributeError("wsgi_app")
        self.assign(app, None)

    def end(self, app: Flask) -> None:
        """Put everything back."""
        self.active = False
        monitor.leave(self.rules)
        self._restore()
        unlisten(app)
        app.__class__ = self._cls
        vars(app).pop(STATE, None)
        if self._chain is not None:
            vars(app)["wsgi_app"] = self._chain

    def _restore(self) -> None:
        while self._undo:
            self._undo.pop()()

    @contained
    def _probe(self, app: Flask, outermost: Any) -> None:
        path = walk.path_to(outermost, self._is_base)
        places = [walk.Place(outermost, self._set_chain), *path[:-1]]
        layers = probes.layers_of(places)
        self.rules.know(layers)
        handled.watch(self.rules, layers)
        self.plain = bool(path) and all(stock.is_stock(place.held) for place in places)
        # What leaves the outermost layer leaves the app, unless its own `__call__` catches it.
        self._undo += probes.put_around(places[1:] if self.stands_in else places)
        if path:
            own = MethodType(self._cls.wsgi_app, app)
            held, put, *_ = path[-1]
            # Between stock and the app nobody hides an error.
            put(own if self.plain else innermost(self, own))
            self._undo.append(functools.partial(put, held))

    def _set_chain(self, layer: Any) -> None:
        self._chain = layer

    def _is_base(self, layer: Any) -> bool:
        layer = made_from(layer) or layer
        return (
            isinstance(layer, MethodType)
            and layer.__self__ is self._app()
            and layer.__name__ == "wsgi_app"
        )


def _is_flasks_own(call: Any) -> bool:
    """Tell whether `call` is Flask's, and not what somebody put in its place, as Sentry does."""
    code_of = getattr(call, "__globals__", {})
    return call is Flask.__call__ and code_of.get("__name__") == Flask.__module__


def adoption_of(app: Flask) -> Adoption | None:
    """Return what was changed on `app`, None if nothing was."""
    found = vars(app).get(STATE)
    return found if isinstance(found, Adoption) else None


def adopt(app: Flask, settings: Settings) -> None:
    """Put the seams on `app`; once only, but the last settings count."""
    known = adoption_of(app)
    if known is not None:
        known.rules.settings = settings
        known.rewrap(app)
        _ask_for_tenants(type(app), settings)
        return
    left_out = unknown()
    if "__call__" in left_out:
        _wrap(app, settings)
        return
    try:
        made = _subclass(type(app), left_out)
    except (AttributeError, TypeError, ValueError) as error:
        _logger.warning(
            "everylayer does not fit the Flask app %r (%s: %s). Errors that it handles by itself "
            "are not recorded, only what leaves it, as by everylayer_flask.EveryLayerMiddleware.",
            app.name,
            type(error).__name__,
            error,
        )
        _wrap(app, settings)
        return
    layers = None if "wsgi_app" in left_out else vars(app).pop("wsgi_app", None)
    made_for = Adoption(app, settings, left_out)
    vars(app)[STATE] = made_for
    app.__class__ = made
    _ask_for_tenants(made, settings)
    if layers is not None:
        made_for.assign(app, layers)


def _ask_for_tenants(cls: Any, settings: Settings) -> None:
    """Let the class of one app set the tenant around its outermost frame, as `settings` say."""
    if settings.tenant == "off" and cls.__call__ is request.outermost:
        return
    from everylayer.boundaries import tenant_seams, tenant_source

    policy = tenant_source.policy_of(settings)
    call = request.outermost
    cls.__call__ = call if policy is None else tenant_seams.around_wsgi(call, policy)


def _wrap(app: Flask, settings: Settings) -> None:
    """Put a plain WSGI layer around the whole app; once only, but the last settings count."""
    layer = app.wsgi_app
    if isinstance(layer, wsgi.Seam):
        layer.settings = settings
    else:
        vars(app)["wsgi_app"] = wsgi.Seam(layer, settings, client_status=client_status)


def release(app: Flask) -> None:
    """Take the seams off `app`."""
    known = adoption_of(app)
    if known is not None:
        known.end(app)
    layer = vars(app).get("wsgi_app")
    if isinstance(layer, wsgi.Seam):
        vars(app)["wsgi_app"] = layer.app


def _subclass(cls: Any, left_out: frozenset[str]) -> Any:
    namespace = {
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        "__doc__": cls.__doc__,
    }
    with warnings.catch_warnings():
        # Flask 3.2 looks at each new subclass, and warns again of what the user's own overrides.
        warnings.simplefilter("ignore", DeprecationWarning)
        made = type(cls)(cls.__name__, (cls,), namespace)
    # Only now: it would put something of its own in the place of the seams.
    for name, seam in seams_of(cls, left_out).items():
        setattr(made, name, seam)
    return made
