"""The whole chain of what a server would call: layers, Flask apps, blueprints, mounts."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import Any

from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from everylayer.audit.parts import INSTRUMENTATION, Part, gathered

from .. import patches
from ..walk import Place
from . import hooks
from .endpoints import endpoints
from .functions import where_class
from .layers import app_of, layer_part, mounts_of, way_in

_AROUND = "EveryLayerMiddleware around the app"


def parts_of(served: Any) -> list[Part]:
    """Return the parts of `served`, outermost first."""
    if isinstance(served, Flask):
        return _of_app(served)
    way = way_in(served)
    end = way[-1].held
    if isinstance(end, Flask):
        return [*_layers(way[:-1], _AROUND), *_of_app(end)]
    app = app_of(end)
    if app is not None:
        return [*_layers(way[:-1], _AROUND), _inside(app)]
    found = _layers(way, _AROUND)
    if isinstance(end, DispatcherMiddleware):
        found[-1].inner += [
            Part(path, "mount", inner=gathered(functools.partial(parts_of, mount), path, "mount"))
            for path, mount in mounts_of(end).items()
        ]
    return found


def _of_app(app: Flask) -> list[Part]:
    """Return the WSGI layers of a Flask app, and the app inside them."""
    return [*_layers(way_in(app.wsgi_app)[:-1]), _inside(app)]


def _layers(way: Iterable[Place], around: str = "") -> list[Part]:
    found: list[Part] = []
    outermost = True
    for place in way:
        found.append(layer_part(place, outermost=outermost, around=around))
        outermost = outermost and found[-1].kind == INSTRUMENTATION
    return found


def _inside(app: Flask) -> Part:
    classes = type(app).__mro__[0 if patches.adoption_of(app) is None else 1 :]
    cls = next(cls for cls in classes if not cls.__module__.startswith("opentelemetry."))
    return Part(
        "Flask",
        "wsgi",
        where=where_class(cls),
        seam="probe around wsgi_app",
        inner=_parts_of_app(app),
    )


def _parts_of_app(app: Flask) -> Iterator[Part]:
    """Yield what a request to `app` passes, in order."""
    yield from hooks.receivers(app, "appcontext_pushed")
    yield from hooks.sessions(app, "open_session")
    yield from hooks.receivers(app, "request_started")
    yield from hooks.hooks(app, hooks.PREPROCESSORS)
    yield from hooks.hooks(app, hooks.BEFORE)
    yield from gathered(lambda: endpoints(app, None), "view_functions", "endpoint")
    for name in app.blueprints:
        if "." not in name:
            yield _blueprint(app, name)
    yield from hooks.hooks(app, hooks.URL_DEFAULTS)
    yield from hooks.hooks(app, hooks.TEMPLATE)
    yield from hooks.hooks(app, hooks.AFTER)
    yield from hooks.sessions(app, "save_session")
    yield from hooks.receivers(app, "request_finished", "got_request_exception")
    yield from hooks.handlers(app)
    yield from hooks.hooks(app, hooks.TEARDOWN)
    yield from hooks.receivers(app, "request_tearing_down")
    yield from hooks.appcontext_teardowns(app)
    yield from hooks.receivers(app, "appcontext_tearing_down", "appcontext_popped")


def _blueprint(app: Flask, name: str) -> Part:
    """Return a blueprint with what is only for its views; `name` has those around it in it."""
    return Part(name.rpartition(".")[2], "mount", inner=_parts_of_blueprint(app, name))


def _parts_of_blueprint(app: Flask, name: str) -> Iterator[Part]:
    yield from hooks.hooks(app, hooks.PREPROCESSORS, name)
    yield from hooks.hooks(app, hooks.BEFORE, name)
    yield from gathered(lambda: endpoints(app, name), "view_functions", "endpoint")
    for nested in app.blueprints:
        if nested.rpartition(".")[0] == name:
            yield _blueprint(app, nested)
    yield from hooks.hooks(app, hooks.URL_DEFAULTS, name)
    yield from hooks.hooks(app, hooks.TEMPLATE, name)
    yield from hooks.hooks(app, hooks.AFTER, name)
    yield from hooks.handlers(app, name)
    yield from hooks.hooks(app, hooks.TEARDOWN, name)
