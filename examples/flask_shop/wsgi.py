"""Entry point of a server: `gunicorn flask_shop.wsgi:app`."""

from __future__ import annotations

from everylayer_flask import EveryLayer

from .app import create_app

app = create_app()
EveryLayer(app)  # the one line
