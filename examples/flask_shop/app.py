"""The app factory: WSGI layers, hooks, extensions and error handlers in one place.

A request passes, from the outside in: ProxyFix, WhiteNoise, AccessLog, Recovery, Tenant, then
Flask's own chain of flask-cors, `authenticate`, `count_call`, the view, `audit` and `release`.
"""

from __future__ import annotations

import os

from flask import Flask
from flask_cors import CORS
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from werkzeug.middleware.proxy_fix import ProxyFix
from whitenoise import WhiteNoise  # type: ignore[import-untyped]

from shop import tracing

from . import hooks, layers, views


def create_app() -> Flask:
    """Build the shop; WhiteNoise serves the folder `SHOP_STATIC_ROOT` under `/static/`."""
    tracing.start("flask-shop")
    app = Flask(__name__, static_folder=None)
    FlaskInstrumentor().instrument_app(app)  # type: ignore[no-untyped-call]
    app.secret_key = "for the examples only"
    CORS(app, origins=["https://shop.example"])
    hooks.init_app(app)
    app.register_blueprint(views.shop)

    app.wsgi_app = layers.Tenant(app.wsgi_app)  # type: ignore[method-assign]
    app.wsgi_app = layers.Recovery(app.wsgi_app)  # type: ignore[method-assign]
    app.wsgi_app = layers.AccessLog(app.wsgi_app)  # type: ignore[method-assign]
    app.wsgi_app = WhiteNoise(  # type: ignore[method-assign]
        app.wsgi_app, root=os.environ.get("SHOP_STATIC_ROOT"), prefix="static/"
    )
    app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]
    return app
