"""The way of a request through layer after layer, without what is there only to see it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

from starlette.routing import Router

from ..classes import Starlette
from ..walk import is_app, slots_of
from .build import Made, build
from .kinds import is_added, is_probe

_MAX_LAYERS = 256


class Step(NamedTuple):
    """An app that a layer leads to.

    Attributes:
        put: puts another in its place.
    """

    app: Any
    put: Callable[[Any], None] | None = None


class Stop(NamedTuple):
    """A part of the chain.

    Attributes:
        role: `added` is there for the sake of telemetry; an `end` leads to no further app, nor
            does a `router`, but for its routes.
        put: puts another in its place.
        further: apps that it leads to besides the next one.
        owner: the Starlette app that it is part of, None outside.
    """

    app: Any
    role: Literal["layer", "added", "router", "end"]
    put: Callable[[Any], None] | None
    further: tuple[Step, ...] = ()
    owner: Any = None


def stops(step: Step, made: Made) -> Iterator[Stop]:
    """Yield the parts from `step` inwards.

    Args:
        made: by which a layer that hides what is inside it can be passed.
    """
    line = _Line(made)
    here: Step | None = step
    while here is not None and len(line.seen) < _MAX_LAYERS:
        within = line.enter(here)
        if within is not None:
            here = within
            continue
        stop, here = line.stop(here)
        if stop is not None:
            yield stop


class _Line:
    """Where one walk has come to."""

    __slots__ = ("_made", "_owner", "_router", "_waiting", "seen")

    def __init__(self, made: Made) -> None:
        self.seen: dict[int, Any] = {}
        self._made = made
        self._waiting: list[Step] = []
        self._owner: Any = None
        self._router: Any = None

    def enter(self, step: Step) -> Step | None:
        """Return the first step within an app, a router or a probe; None for a layer."""
        app = _itself(step.app)
        if is_probe(app):
            within = steps_of(app)
            if within:  # What it stands before may be called in another way than apps are.
                return within[0]
        if id(app) in self.seen:
            return None
        if isinstance(app, Starlette):
            self.seen[id(app)] = self._owner = app
            return Step(app.middleware_stack or build(app, self._made))
        if isinstance(app, Router):
            self.seen[id(app)] = self._router = app
            return Step(getattr(app, "middleware_stack", app.app))
        return None

    def stop(self, step: Step) -> tuple[Stop | None, Step | None]:
        """Return what stands at `step`, and the next one."""
        app = _itself(step.app)
        if self._is_router(app):
            return Stop(self._router, "router", step.put, owner=self._owner), None
        if id(app) in self.seen:
            return None, self._waiting.pop() if self._waiting else None
        self.seen[id(app)] = app
        # A layer may hold the one that it is made by, to call its methods.
        steps = [s for s in steps_of(app) if id(_itself(past_probes(s).app)) not in self.seen]
        if id(app) in self._made:
            self._waiting.append(Step(self._made[id(app)][1]))
        if steps:
            following: Step | None = steps[0]
        else:
            following = self._waiting.pop() if self._waiting else None
        held = _inside(app)
        role: Literal["layer", "added", "end"] = "layer" if following is not None else "end"
        if is_added(app, held, _inside(held)):
            role = "added"
        return Stop(app, role, step.put, tuple(steps[1:]), self._owner), following

    def _is_router(self, app: Any) -> bool:
        return self._router is not None and (
            app is self._router or (inspect.ismethod(app) and app.__self__ is self._router)
        )


def around(app: Any) -> tuple[list[Any], Any]:
    """Return the plain layers around the first Starlette app or router in `app`, and that one.

    Instead of that one it is None where `app` leads to none.
    """
    layers: list[Any] = []
    waiting: list[Any] = [app]
    seen: dict[int, Any] = {}
    while waiting and len(seen) < _MAX_LAYERS:
        layer = _itself(waiting.pop())
        if isinstance(layer, (Starlette, Router)):
            return layers, layer
        if id(layer) not in seen:
            seen[id(layer)] = layer
            layers.append(layer)
            waiting += [step.app for step in reversed(steps_of(layer))]
    return layers, None


def past_probes(step: Step) -> Step:
    """Return what stands behind everylayer's own probes."""
    while is_probe(step.app):
        within = steps_of(step.app)
        if not within:
            break
        step = within[0]
    return step


def _inside(app: Any) -> Any:
    steps = steps_of(app)
    return past_probes(steps[0]).app if steps else None


def _itself(app: Any) -> Any:
    return app.__self__ if inspect.ismethod(app) and app.__name__ == "__call__" else app


def steps_of(layer: Any) -> list[Step]:
    """Return the apps that `layer` holds, that called `app` first."""
    if isinstance(layer, (Starlette, Router)):
        return []
    found: dict[int, tuple[Any, list[Callable[[Any], None]]]] = {}
    for slot in slots_of(layer) or ():
        if not (inspect.ismethod(slot.app) and slot.app.__self__ is layer):
            found.setdefault(id(slot.app), (slot.app, []))[1].append(slot.put)
    main = getattr(layer, "app", None)
    steps = [Step(app, functools.partial(_put_all, puts)) for app, puts in found.values()]
    if isinstance(layer, functools.partial):
        given = [*layer.args, *layer.keywords.values()]
        steps += [Step(app) for app in given if is_app(app)]
    return sorted(steps, key=lambda each: each.app is not main)


def _put_all(puts: list[Callable[[Any], None]], app: Any) -> None:
    for put in puts:
        put(app)
