"""The one line that a user adds."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from flask import Flask

from everylayer.failsafe import contained
from everylayer.settings import ENV_PREFIX, resolve
from everylayer.wsgi_types import WSGIApp

from . import handled, patches, probes, walk
from .request import Entry, outermost
from .rules import Rules

if TYPE_CHECKING:
    from collections.abc import Iterable

    from everylayer.wsgi_types import Environ, StartResponse

NAME = "everylayer"


class EveryLayer:
    """Shows every error of every layer of a Flask app on the request's span.

    Call it before or after other layers and instrumentations; twice is the same as once.

    Args:
        app: the app, or nothing where `init_app` is called later.
        **settings: fields of `everylayer.Settings`; they win over `app.config["EVERYLAYER_*"]`,
            that over `everylayer.configure()`, and that over the environment.

    Raises:
        TypeError: `app` is not a Flask app.
        everylayer.SettingsError: a setting is unknown or does not fit.
    """

    def __init__(self, app: Flask | None = None, **settings: Any) -> None:
        self._settings = settings
        resolve(settings)
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Put the seams on `app`."""
        if not isinstance(app, Flask):
            raise TypeError(_not_flask(app))
        settings = resolve({**_from_config(app), **self._settings})
        app.extensions[NAME] = self
        if settings.enabled:
            patches.adopt(app, settings)
        else:
            patches.release(app)


def _from_config(app: Flask) -> dict[str, Any]:
    return {
        key[len(ENV_PREFIX) :].lower(): value
        for key, value in app.config.items()
        if key.startswith(ENV_PREFIX)
    }


class EveryLayerMiddleware:
    """The same around any WSGI app: the outermost layer of `app = EveryLayerMiddleware(app)`.

    A Flask app inside it, below layers around the app object, gets its seams too.

    Args:
        app: a WSGI app.
        **settings: fields of `everylayer.Settings`, over `configure()` and `EVERYLAYER_*`.

    Raises:
        TypeError: `app` cannot be called.
        everylayer.SettingsError: a setting is unknown or does not fit.
    """

    def __init__(self, app: WSGIApp, **settings: Any) -> None:
        if not callable(app):
            raise TypeError(
                f"EveryLayerMiddleware wraps a WSGI app, a callable; it got {_told(app)}."
            )
        self._everylayer = Entry(Rules(resolve(settings)), app)
        if self._everylayer.rules.settings.enabled:
            self._look_inside(app, settings)
        if self._everylayer.rules.settings.tenant != "off":
            from everylayer.boundaries.tenant_seams import around_wsgi, surround

            surround(self, around_wsgi, self._everylayer.rules.settings)

    if TYPE_CHECKING:

        def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
            """Serve a request as WSGI's servers ask for it (PEP 3333)."""
    else:
        __call__ = outermost

    @contained
    def _look_inside(self, app: WSGIApp, settings: dict[str, Any]) -> None:
        rules = self._everylayer.rules
        place = walk.Place(app, self._replace)
        if isinstance(app, Flask):
            path = [place]
        else:
            path = [place, *walk.path_to(app, lambda held: isinstance(held, Flask))]
            layers = path[:-1] if len(path) > 1 else path
            found = probes.layers_of(layers)
            rules.know(found)
            handled.watch(rules, found)
            probes.put_around(layers[1:])
        inside = path[-1].held
        if isinstance(inside, Flask):
            EveryLayer(inside, **settings)
            adoption = patches.adoption_of(inside)
            rules.inside = adoption.rules if adoption is not None else None

    def _replace(self, app: WSGIApp) -> None:
        self._everylayer.run = app


def _not_flask(app: object) -> str:
    if inspect.isclass(app) and issubclass(app, Flask):
        remedy = f"create the app first: EveryLayer({app.__name__}(__name__))"
    elif callable(app) and not inspect.isclass(app):
        remedy = (
            "pass the Flask object itself, before or after it is wrapped; around another WSGI app "
            "use everylayer_flask.EveryLayerMiddleware(app), and the packages everylayer-django "
            "and everylayer-starlette for those frameworks"
        )
    else:
        remedy = "pass the Flask object: EveryLayer(app), or EveryLayer() and then init_app(app)"
    return f"EveryLayer works on a Flask app; it got {_told(app)}. To repair this, {remedy}."


def _told(app: object) -> str:
    if app is None:
        return "None"
    if inspect.isclass(app):
        return f"the class {app.__module__}.{app.__qualname__}"
    return f"an object of {type(app).__module__}.{type(app).__qualname__}"
