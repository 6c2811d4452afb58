"""No-op layers for each kind of framework, every one a class with code of its own.

Layers of one class would be equal frames in a row, which a traceback folds into one line: cheaper
for everybody than what an app has.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

MOST = 64
# Where the generated modules are; set for the measuring processes.
FOLDER = "BENCH_CORPUS"

_HEADS = {
    "asgi": "from benchmarks.apps import faults",
    "wsgi": "",
    "django": (
        "from asgiref.sync import iscoroutinefunction, markcoroutinefunction\n"
        "from benchmarks.apps import faults"
    ),
}

_LAYERS = {
    "asgi": """
class Layer{n}:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        await self.app(scope, receive, send)


class FailingLayer{n}:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["path"] == "/layer":
            faults.named("deep")()
        await self.app(scope, receive, send)


class CatchingLayer{n}(Layer{n}):
    async def __call__(self, scope, receive, send):
        try:
            await self.app(scope, receive, send)
        except LookupError:
            raise
""",
    "wsgi": """
class Layer{n}:
    def __init__(self, app):
        self.app = app

    def __call__(self, environ, start_response):
        return self.app(environ, start_response)


class CatchingLayer{n}(Layer{n}):
    def __call__(self, environ, start_response):
        try:
            return self.app(environ, start_response)
        except LookupError:
            raise
""",
    # Async only where its inner neighbour is, as Django's own are.
    "django": """
class Layer{n}:
    sync_capable = True
    async_capable = True

    def __init__(self, get_response):
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request):
        if self.is_async:
            return self.later(request)
        return self.get_response(request)

    async def later(self, request):
        return await self.get_response(request)


class FailingLayer{n}(Layer{n}):
    def __call__(self, request):
        if self.is_async:
            return self.later(request)
        if request.path == "/layer":
            faults.named("deep")()
        return self.get_response(request)

    async def later(self, request):
        if request.path == "/layer":
            faults.named("deep")()
        return await self.get_response(request)


class CatchingLayer{n}(Layer{n}):
    def __call__(self, request):
        if self.is_async:
            return self.later(request)
        try:
            return self.get_response(request)
        except LookupError:
            raise

    async def later(self, request):
        try:
            return await self.get_response(request)
        except LookupError:
            raise
""",
}


def write(folder: Path) -> None:
    """Write a module of layers for each kind."""
    for kind, template in _LAYERS.items():
        parts = [_HEADS[kind], *(template.replace("{n}", str(n)) for n in range(MOST))]
        (folder / f"bench_layers_{kind}.py").write_text("\n".join(parts), encoding="utf-8")


def generated(name: str) -> Any:
    """Import one of the generated modules."""
    folder = os.environ[FOLDER]
    if folder not in sys.path:
        sys.path.append(folder)
    return importlib.import_module(name)


def classes(kind: str, count: int, *, catching: bool = False) -> list[Any]:
    """Return `count` layers; the middle one can fail, if this kind can.

    Those that are `catching` could hold an error back, and never do.
    """
    module = generated(f"bench_layers_{kind}")
    if catching:
        return [getattr(module, f"CatchingLayer{n}") for n in range(count)]
    found = [getattr(module, f"Layer{n}") for n in range(count)]
    if kind != "wsgi":
        found[count // 2] = getattr(module, f"FailingLayer{count // 2}")
    return found
