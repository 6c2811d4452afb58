"""How an audit opens a Flask app, or one inside WSGI layers, mounts or both."""

from __future__ import annotations

import inspect
from typing import Any

from everylayer.audit.adapter import Chain, Opened
from everylayer.audit.hosts import choose
from everylayer.audit.model import Arm, Shape
from everylayer.audit.parts import numbered
from everylayer.wsgi_types import WSGIApp

from .. import patches
from ..extension import EveryLayer, EveryLayerMiddleware
from ..instrumentor import EveryLayerFlaskInstrumentor
from .layers import flask_apps
from .shapes import shaped
from .tree import parts_of

_ABSENT = "opentelemetry-instrumentation-flask is not installed"


class FlaskAdapter:
    """Opens what a WSGI server would call, if a Flask app is in it.

    What swallows or translates is a layer around the whole chain, and a handler for Exception in
    each Flask app without one (see `shapes`).
    """

    framework = "flask"

    def prepare(self, arm: Arm) -> None:
        """Have the apps that are created from now on instrumented."""
        if arm == "bare":
            return
        stock = _stock()
        if stock is not None:
            stock().instrument()
        if arm == "everylayer":
            EveryLayerFlaskInstrumentor().instrument()

    def claims(self, app: object) -> bool:
        """Tell whether `app` is a Flask app, or a WSGI app that leads to one."""
        return _is_wsgi(app) and bool(flask_apps(app))

    def open(self, app: Any, arm: Arm, shape: Shape) -> Opened:
        """Complete the instrumentation, shape the app, read its chain."""
        apps = flask_apps(app)
        stock = "this is the arm without telemetry" if arm == "bare" else _complete(apps)
        served: WSGIApp = shaped(app, apps, shape)
        if arm == "everylayer":
            for each in apps:
                if patches.adoption_of(each) is None:
                    EveryLayer(each)
            if served not in apps:
                served = EveryLayerMiddleware(served)
        return Opened(served, "wsgi", numbered(parts_of(served)), stock, _host(apps[0]))

    def chain(self, app: Any) -> Chain:
        """Read the chain of an app that serves already."""
        return numbered(parts_of(app))


def _stock() -> Any:
    """Return stock's instrumentor, None where it is not installed."""
    try:
        from opentelemetry.instrumentation.flask import FlaskInstrumentor
    except ImportError:
        return None
    return FlaskInstrumentor


def _complete(apps: list[Any]) -> str:
    """Instrument the apps that were missed; return why that cannot be done, "" if it is done."""
    stock = _stock()
    if stock is None:
        return _ABSENT
    for app in apps:
        if not getattr(app, "_is_instrumented_by_opentelemetry", False):
            try:
                stock.instrument_app(app)
            except Exception as error:  # noqa: BLE001 - stock's, and told in the report
                return f"FlaskInstrumentor.instrument_app: {type(error).__name__}: {error}"
    return ""


def _host(app: Any) -> str:
    name = app.config.get("SERVER_NAME")
    if name and (app.url_map.host_matching or app.subdomain_matching):
        return str(name)
    return choose(app.config.get("TRUSTED_HOSTS") or ())


def _is_wsgi(app: object) -> bool:
    """Tell whether `app` can be called with an environ and `start_response`, and is no class."""
    if not callable(app) or inspect.isclass(app):
        return False
    try:
        inspect.signature(app).bind(None, None)
    except (TypeError, ValueError):
        return False
    return True
