"""What the page takes as given: a client of an app that refuses its user."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from everylayer_starlette import EveryLayerMiddleware


class AuthMiddleware:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise PermissionError("no such user")


class Refusal:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.app(scope, receive, send)
        except PermissionError:
            await PlainTextResponse("who are you?", 403)(scope, receive, send)


@pytest.fixture
def client() -> TestClient:
    app = Starlette()
    for layer in (AuthMiddleware, Refusal, EveryLayerMiddleware):
        app.add_middleware(layer)
    return TestClient(app)
