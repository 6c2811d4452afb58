"""Entry point of a server: `uvicorn starlette_shop.asgi:app`."""

from __future__ import annotations

from everylayer_starlette import EveryLayerMiddleware

from .app import create_app

app = create_app()
app.add_middleware(EveryLayerMiddleware)  # the one line
