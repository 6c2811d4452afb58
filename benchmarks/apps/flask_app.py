"""Flask: layers are WSGI objects around the app and pairs of hooks within it, in turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import Flask, Response, request

from . import canary, faults, layers, work


def _before() -> None:
    return None


def _failing_before() -> None:
    if request.path == "/layer":
        faults.named("deep")()


def _after(response: Response) -> Response:
    return response


def build(arm: str, count: int, *, catching: bool = False) -> Flask:
    """Return the app of `arm`; its first `before_request` hook is the one that can fail."""
    app = Flask("bench")
    if arm in ("stock", "everylayer"):
        from opentelemetry.instrumentation.flask import FlaskInstrumentor

        FlaskInstrumentor().instrument_app(app)  # type: ignore[no-untyped-call]
    _add_layers(app, layers.classes("wsgi", count, catching=catching))
    _add_views(app)
    if arm == "everylayer":
        from everylayer_flask import EveryLayer

        EveryLayer(app)
    return app


def _add_layers(app: Flask, kinds: Sequence[Any]) -> None:
    for number, layer in enumerate(kinds):
        if number % 2 == 0:
            app.wsgi_app = layer(app.wsgi_app)  # type: ignore[method-assign]
        else:
            app.before_request(_failing_before if number == 1 else _before)
            app.after_request(_after)


def _add_views(app: Flask) -> None:
    @app.get("/ok")
    def ok() -> str:
        return "ok"

    @app.get("/layer")
    def layer() -> str:
        return "ok"

    @app.get("/fail/<name>")
    def view(name: str) -> str:
        faults.named(name)()
        return "not reached"

    @app.get("/work/<name>")
    def busy(name: str) -> str:
        work.compute()
        if name == "fail":
            faults.named("deep")()
        return "ok"

    @app.get("/storm")
    def storm() -> str:
        canary.fail()
        return "not reached"
