"""How an audit opens an application of aiohttp's, with the applications within it."""

from __future__ import annotations

import functools
from typing import Any

from aiohttp import web

from everylayer.audit.adapter import Chain, Opened
from everylayer.audit.model import Arm, Shape
from everylayer.audit.parts import numbered
from everylayer.audit.wire import TargetError

from ..middleware import setup
from . import stock
from .drive import Driver
from .shapes import shaping
from .tree import is_added, parts_of


class AiohttpAdapter:
    """See `everylayer.audit.adapter.Adapter`."""

    framework = "aiohttp"

    def prepare(self, arm: Arm) -> None:
        """Have the apps that are made from now on instrumented."""
        if arm == "bare":
            return
        stock.switch_on()
        if arm == "everylayer":
            from ..instrumentor import EveryLayerAiohttpInstrumentor

            EveryLayerAiohttpInstrumentor().instrument(skip_dep_check=True)

    def claims(self, app: object) -> bool:
        """Tell whether `app` is an application."""
        return isinstance(app, web.Application)

    def open(self, app: Any, arm: Arm, shape: Shape) -> Opened:
        """Complete the instrumentation, shape the app, read its chain.

        Raises:
            TargetError: the app has been started, or added to another one.
        """
        if app.pre_frozen:
            raise TargetError(
                "the application has been started, or added to another one: name the function "
                "that makes it, or the outermost application"
            )
        missing = "this is the arm without telemetry"
        if arm != "bare":
            missing = stock.put(app.middlewares)
        own = (at for at, each in enumerate(app.middlewares) if not is_added(each))
        place = next(own, len(app.middlewares))
        app.middlewares[place:place] = shaping(shape)
        if arm == "everylayer":
            setup(app)
        chain = self.chain(app)
        return Opened(app, "http", chain, missing, driver=functools.partial(Driver, app))

    def chain(self, app: Any) -> Chain:
        """Read the chain of an app that serves already."""
        return numbered(parts_of(app))
