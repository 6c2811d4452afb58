"""How an audit opens a Litestar app."""

from __future__ import annotations

from typing import Any

from litestar import Litestar

from everylayer.audit.adapter import Chain, Opened
from everylayer.audit.hosts import choose
from everylayer.audit.model import Arm, Shape
from everylayer.audit.parts import numbered

from . import logs, stock
from .shapes import shape_app
from .tree import parts_of


class LitestarAdapter:
    """See `everylayer.audit.adapter.Adapter`."""

    framework = "litestar"

    def __init__(self) -> None:
        self._is_surrounded = False

    def prepare(self, arm: Arm) -> None:
        """Have the apps that are made from now on instrumented."""
        logs.wait()
        if arm == "bare":
            return
        stock.PATCH.put()
        if arm == "everylayer":
            from ..instrumentor import EveryLayerLitestarInstrumentor

            EveryLayerLitestarInstrumentor().instrument(skip_dep_check=True)

    def surrounded(self) -> None:
        """Have the app do without Litestar's own middleware for OpenTelemetry, if it can."""
        self._is_surrounded = True

    def claims(self, app: object) -> bool:
        """Tell whether `app` is one of Litestar's."""
        return isinstance(app, Litestar)

    def open(self, app: Any, arm: Arm, shape: Shape) -> Opened:
        """Shape the app, read its chain.

        Raises:
            TargetError: the app has no place for what shapes it.
        """
        logs.begin()
        if self._is_surrounded:
            stock.take_back(app)
            missing = ""
        else:
            missing = "this is the arm without telemetry" if arm == "bare" else stock.missing(app)
        shape_app(app, shape)
        hosts = app.allowed_hosts
        host = choose(getattr(hosts, "allowed_hosts", None) or ())
        return Opened(app, "asgi", numbered(parts_of(app)), missing, host)

    def chain(self, app: Any) -> Chain:
        """Read the chain of an app that serves already."""
        return numbered(parts_of(app, serving=True))
