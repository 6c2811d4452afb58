"""The chain that a request takes, once more, with a probe before each layer and the handler.

aiohttp binds each middleware to what is inside it, `partial(middleware, handler=inner)`, those of
sub-apps included, and keeps the result: so it is taken apart once.
"""

from __future__ import annotations

from functools import partial, update_wrapper
from typing import Any

from aiohttp import web

from everylayer.awaited import Chain, Outermost
from everylayer.layers import Layer, codes_of, name_of


def prepare(handler: Any, request: web.Request, seam: Outermost) -> Chain:
    """Return `handler`, what the outermost middleware is given, with probes inside it.

    Signals need none: whoever sends one is in the chain, or sends the response.
    """
    for hook in (hook for app in request.match_info.apps for hook in app.on_response_prepare):
        seam.layers.add(Layer(name_of(hook), "hook"), codes_of(hook))
    links = []
    while _is_link(handler):
        links.append(handler.func)
        handler = handler.keywords["handler"]
    given = getattr(handler, "__wrapped__", handler)  # aiohttp wraps an object that is called.
    view = Layer(name_of(given), "framework" if _is_of("aiohttp", handler) else "view")
    seam.watch(handler, view)
    call, alone, index = seam.probe(handler, view, "view"), True, sum(map(_is_layer, links))
    for made in reversed(links):
        if isinstance(made, Outermost):
            continue  # A sub-app has a line of its own.
        if _is_of("opentelemetry", made):
            call, alone = seam.binding(call), False
        call = update_wrapper(partial(made, handler=call), call)
        if _is_layer(made):
            index -= 1
            layer = Layer(name_of(made), "middleware", index)
            seam.watch(made, layer)
            call = seam.probe(call, layer)
    # What answers for a path that is not there is made anew for each request.
    return Chain(call, alone, request.match_info.http_exception is None)


def _is_link(handler: Any) -> bool:
    return (
        type(handler) is partial
        and list(handler.keywords) == ["handler"]
        and getattr(handler.func, "__middleware_version__", None) == 1
    )


def _is_layer(made: Any) -> bool:
    machinery = _is_of("aiohttp.web_app", made) or _is_of("opentelemetry", made)
    return not (machinery or isinstance(made, Outermost))


def _is_of(package: str, made: Any) -> bool:
    return f"{getattr(made, '__module__', '')}.".startswith(f"{package}.")
