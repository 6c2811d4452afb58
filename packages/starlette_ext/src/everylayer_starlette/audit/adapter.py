"""Opens Starlette and FastAPI apps for an audit, those within plain ASGI layers included."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.routing import Router

from everylayer.asgi import Seam
from everylayer.audit.adapter import Chain, Opened
from everylayer.audit.hosts import choose
from everylayer.audit.model import Arm, Shape

from ..classes import Starlette
from ..walk import is_app
from . import stock
from .line import around
from .shapes import SHAPES
from .tree import Reader


class StarletteAdapter:
    """See `everylayer.audit.adapter.Adapter`."""

    framework = "starlette"

    def prepare(self, arm: Arm) -> None:
        """Instrument the classes of the process."""
        if arm == "bare":
            return
        stock.switch_on()
        if arm == "everylayer":
            from ..instrumentor import EveryLayerStarletteInstrumentor

            EveryLayerStarletteInstrumentor().instrument(skip_dep_check=True)

    def claims(self, app: object) -> bool:
        """Tell whether `app` is one of Starlette's, or leads to one."""
        return is_app(app) and around(app)[1] is not None

    def open(self, app: Any, arm: Arm, shape: Shape) -> Opened:
        """See `Adapter.open`.

        Raises:
            Exception: whatever a middleware of the app raises when it is made.
        """
        layers, inner = around(app)
        whole = app is inner and isinstance(inner, Starlette)
        if isinstance(inner, Starlette):
            inner.middleware_stack = None  # What has been built can hold no further layer.
        missing = "the bare arm runs without telemetry"
        if arm != "bare":
            missing = stock.complete(inner, layers) if isinstance(inner, Starlette) else ""
        if shape in SHAPES and whole:
            inner.user_middleware.insert(0, Middleware(SHAPES[shape]))
        elif shape in SHAPES:
            app = SHAPES[shape](app)
        if arm != "bare" and isinstance(inner, Router):
            app = stock.surround(app, layers)
        if arm == "everylayer":
            app = _covered(app, layers, whole=whole)
        reader = Reader({})
        seam = (
            [reader.added("EveryLayer", "outermost seam")] if arm == "everylayer" and whole else []
        )
        chain = reader.read(app)
        chain = replace(chain, nodes=(*seam, *chain.nodes))
        return Opened(app, "asgi", chain, missing, _host(inner, layers))

    def chain(self, app: Any) -> Chain:
        """Read the chain of an app that serves already."""
        return Reader({}).read(app)


def _host(app: Any, layers: list[Any]) -> str:
    """Return a host that the middleware which refuses others lets in."""
    entries = getattr(app, "user_middleware", ())
    given = [vars(layer) for layer in layers if isinstance(layer, TrustedHostMiddleware)]
    given += [e.kwargs for e in entries if _is_class(e.cls, TrustedHostMiddleware)]
    allowed = next((each.get("allowed_hosts") for each in given), None)
    return choose(allowed or ())


def _is_class(value: Any, cls: type) -> bool:
    return isinstance(value, type) and issubclass(value, cls)


def _covered(app: Any, layers: list[Any], *, whole: bool) -> Any:
    """Do what a user does to have everylayer see all of `app`, where that is not done yet."""
    # Naming either puts the seams in place, so it is only done where they are wanted.
    from .. import patches
    from ..middleware import EveryLayerMiddleware

    if whole:
        patches.look(app)
        return app
    return app if any(isinstance(layer, Seam) for layer in layers) else EveryLayerMiddleware(app)
