"""Serve every app without stock; print what its server spans say of HTTP, as JSON.

A process of its own: `OTEL_SEMCONV_STABILITY_OPT_IN` is read once.
"""

from __future__ import annotations

import asyncio
import functools
import importlib.util
import json
import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / folder) for folder in ("support", "telemetry", "aiohttp")]

from contract import drive  # noqa: E402
from contract.telemetry import install, server_span  # noqa: E402
from everylayer import asgi, own_failures, wsgi  # noqa: E402
from everylayer.settings import Settings  # noqa: E402
from kit_apps import FRAMEWORKS, OURS, STOCK, call, served  # noqa: E402
from kit_plain import asgi_app, asgi_layer, wsgi_app, wsgi_layer  # noqa: E402

KINDS = ("ok", "answered")
HTTP = ("http.", "url.", "net.", "network.", "server.", "client.", "user_agent.", "error.type")
TELEMETRY = install()

Found = dict[str, Mapping[str, Any]]


def said() -> Mapping[str, Any]:
    """Return what the server span says of HTTP."""
    attributes = server_span(TELEMETRY.spans).attributes or {}
    TELEMETRY.clear()
    return {name: value for name, value in attributes.items() if name.startswith(HTTP)}


def each(serve: Callable[[str], object]) -> Found:
    """Serve a request of each kind."""
    found = {}
    for kind in KINDS:
        serve(f"/{kind}/1")
        found[kind] = said()
    return found


def afterwards() -> dict[str, Found]:
    """Serve by the neutral seams, which make a span once there is an error to put on it."""
    drive.run_wsgi(wsgi.Seam(wsgi_layer(wsgi_app), Settings()), drive.environ("/answered/1"))
    found: dict[str, Found] = {"wsgi-seam": {"answered": said()}}
    drive.run_asgi(asgi.Seam(asgi_layer(asgi_app), Settings()), drive.scope("/answered/1"))
    found["asgi-seam"] = {"answered": said()}
    return found


def litestar() -> Found:
    """Serve an app of Litestar's."""
    from litestar import Litestar, get

    from everylayer_litestar import EveryLayerPlugin
    from kit_faults import fail_if

    @get("/{kind:str}/{number:str}", sync_to_thread=False)
    def view(kind: str, number: str) -> str:
        fail_if(kind, number, "answered")
        return "fine"

    app = Litestar([view], plugins=[EveryLayerPlugin()], logging_config=None)
    return each(lambda path: drive.run_asgi(app, drive.scope(path)))


def aiohttp() -> Found:
    """Serve an app of aiohttp's."""
    from aiohttp import web

    from aiohttp_kit import ask
    from aiohttp_kit import served as listening
    from everylayer_aiohttp import setup
    from kit_faults import fail_if

    async def view(request: web.Request) -> web.Response:
        fail_if(*request.match_info.values(), "answered")
        return web.Response(text="fine")

    async def serve(path: str) -> None:
        app = web.Application()
        app.router.add_get("/{kind}/{number}", view)
        setup(app)
        async with listening(app) as port:
            await ask(port, path)

    return each(lambda path: asyncio.run(serve(path)))


def main() -> None:
    """Print what the spans of each app say, and those of stock for the plain ones."""
    logging.disable(logging.CRITICAL)
    spans = afterwards()
    for framework in FRAMEWORKS:
        with served(framework, OURS) as app:
            spans[framework] = each(functools.partial(call, app, framework))
    for name, run in (("litestar", litestar), ("aiohttp", aiohttp)):
        if importlib.util.find_spec(name) is not None:
            spans[name] = run()
    stock = {}
    for framework in ("wsgi", "asgi"):
        with served(framework, STOCK) as app:
            stock[framework] = each(functools.partial(call, app, framework))
    sys.stdout.write(json.dumps({"spans": spans, "stock": stock, "failures": dict(own_failures())}))


if __name__ == "__main__":
    main()
