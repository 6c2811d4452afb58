"""The routes of a router, as what a request can come to: with FastAPI's dependencies."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from starlette.routing import Host, Mount, WebSocketRoute

from everylayer.failsafe import contained

# What Starlette calls of an endpoint that is a class.
_METHODS = ("get", "head", "post", "put", "patch", "delete", "options")
_EVENTS = ("on_connect", "on_receive", "on_disconnect")


class Way(NamedTuple):
    """One route.

    Attributes:
        path: and before it the methods that it answers to.
        app: what it calls, its own middleware included.
        put: replaces `app`.
        endpoints: the functions of the app's behind it, each with the class that it is of.
        hooks: what the endpoint depends on.
        branches: it leads to another app.
    """

    path: str
    app: Any
    put: Callable[[Any], None]
    endpoints: tuple[tuple[Any, type[Any] | None], ...] = ()
    hooks: tuple[Hook, ...] = ()
    branches: bool = False
    websocket: bool = False


class Hook(NamedTuple):
    """A dependency of FastAPI's, and what it depends on itself."""

    call: Any
    hooks: tuple[Hook, ...] = ()


def ways(router: Any) -> Iterator[Way]:
    """Yield what the routes of `router` lead to, in their order."""
    for route in getattr(router, "routes", None) or ():
        # FastAPI keeps what `include_router` was given, and makes routes of it when asked.
        included = getattr(route, "effective_route_contexts", None)
        for each in [route] if included is None else included():
            way = _way(getattr(each, "starlette_route", None) or each)
            if way is not None:
                yield way


@contained
def _way(route: Any) -> Way | None:
    put = functools.partial(setattr, route, "app")
    path = str(getattr(route, "path", "") or getattr(route, "host", ""))
    app = getattr(route, "app", None)
    if isinstance(route, (Mount, Host)):
        return Way(path, app, put, branches=True)
    methods = sorted(set(getattr(route, "methods", None) or ()) - {"HEAD"})
    provider = getattr(route, "dependency_overrides_provider", None)
    return Way(
        " ".join([",".join(methods), path]).strip() or type(route).__name__,
        app,
        put,
        _endpoints(getattr(route, "endpoint", None)),
        _hooks(
            getattr(route, "dependant", None),
            getattr(provider, "dependency_overrides", None) or {},
            set(),
        ),
        websocket=isinstance(route, WebSocketRoute),
    )


def _endpoints(endpoint: Any) -> tuple[tuple[Any, type[Any] | None], ...]:
    if endpoint is None:
        return ()
    if not inspect.isclass(endpoint):
        return ((endpoint, None),)
    found = [getattr(endpoint, name, None) for name in (*_METHODS, *_EVENTS)]
    # What Starlette's base class does by itself, such as to accept a websocket, is not the app's.
    own = [m for m in found if inspect.isfunction(m) and not m.__module__.startswith("starlette.")]
    return tuple((method, endpoint) for method in own) or ((endpoint, None),)


def _hooks(dependant: Any, overrides: Mapping[Any, Any], listed: set[int]) -> tuple[Hook, ...]:
    """Return what is asked for before `dependant`: each call once, as FastAPI keeps its result."""
    found = []
    for asked in getattr(dependant, "dependencies", None) or ():
        call = overrides.get(asked.call, asked.call)
        if call is None or id(call) in listed:
            continue
        listed.add(id(call))
        if call is not asked.call:
            asked = _dependant(call) or asked
        found.append(Hook(call, _hooks(asked, overrides, listed)))
    return tuple(found)


@contained
def _dependant(call: Any) -> Any:
    from fastapi.dependencies.utils import get_dependant

    return get_dependant(path="", call=call)
