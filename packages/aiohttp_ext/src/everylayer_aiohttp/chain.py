"""The chain that a request takes, again, with a probe before each layer and before the handler.

aiohttp binds each middleware to what is inside it, `partial(middleware, handler=inner)`, sub-apps
included, and keeps the result for later requests. So does this module: a chain is taken apart once.
"""

from __future__ import annotations

from functools import partial, update_wrapper
from typing import Any, NamedTuple

from aiohttp import web
from aiohttp.typedefs import Handler
from opentelemetry.context import get_current

from everylayer import monitor
from everylayer.chain import drop_frame
from everylayer.failsafe import contained
from everylayer.layers import Layer, name_of
from everylayer.settings import Settings

from .seams import KEY, see, swallowed


class Chain(NamedTuple):
    """What the outermost layer calls; `alone` tells that nothing in it starts a server span."""

    call: Handler
    alone: bool


@contained
def probed(handler: Any, rules: Settings, owner: object) -> Chain:
    """Return `handler`, a chain as aiohttp binds it, with probes.

    Args:
        handler: what a middleware is given.
        rules: the settings in force.
        owner: whose layers the monitor watches, if it is on.
    """
    links = []
    while _is_link(handler):
        links.append(handler.func)
        handler = handler.keywords["handler"]
    name, module = name_of(handler), str(getattr(handler, "__module__", ""))
    view = Layer(name, "framework" if module.startswith("aiohttp.") else "view")
    _watch(handler, view, rules, owner)
    call, alone, index = _probe(handler, view, "view"), True, len(links)
    for made in reversed(links):
        index -= 1
        origin = str(getattr(made, "__module__", type(made).__module__))
        if origin.startswith("everylayer_aiohttp"):
            continue  # An app within this one has a line of its own.
        if origin.startswith("opentelemetry."):
            call, alone = _binding(call), False
        call = update_wrapper(partial(made, handler=call), call)
        if not origin.startswith(("aiohttp.web_app", "opentelemetry.")):
            layer = Layer(name_of(made), "middleware", index)
            _watch(made, layer, rules, owner)
            call = _probe(call, layer, "call")
    return Chain(call, alone)


def _is_link(handler: Any) -> bool:
    return (
        type(handler) is partial
        and list(handler.keywords) == ["handler"]
        and getattr(handler.func, "__middleware_version__", None) == 1
    )


def _watch(made: Any, layer: Layer, rules: Settings, owner: object) -> None:
    if monitor.wanted(rules):
        monitor.watch(owner, layer, monitor.codes_of_layer(made), swallowed)


def _probe(inner: Handler, layer: Layer, phase: str) -> Handler:
    async def probe(request: web.Request) -> web.StreamResponse:
        try:
            return await inner(request)
        except BaseException as exc:
            see(exc, request, layer, phase)
            drop_frame(exc)
            raise

    return update_wrapper(probe, inner)


def _binding(inner: Handler) -> Handler:
    """Return a layer that tells the ledger of its request which span it stands in."""

    async def bind(request: web.Request) -> web.StreamResponse:
        ledger = request.get(KEY)
        if ledger is not None and ledger.within is None:
            ledger.within = get_current()
        try:
            return await inner(request)
        except BaseException as exc:
            drop_frame(exc)
            raise

    return update_wrapper(bind, inner)
