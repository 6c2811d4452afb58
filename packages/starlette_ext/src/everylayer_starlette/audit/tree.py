"""Reads a built app: a tree of what a request passes, and where in it a fault can be put."""

from __future__ import annotations

from typing import Any

from starlette.middleware.errors import ServerErrorMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware

from everylayer.audit.adapter import Chain
from everylayer.audit.model import ChainNode
from everylayer.layers import name_of

from .build import Made
from .describe import describe_call, describe_layer, where_is
from .kinds import ENDPOINT, HANDLER, HOOK, MOUNT, ROUTER, kind_of, seam_of
from .line import Step, Stop, past_probes, steps_of, stops
from .points import WEBSOCKET, Points
from .response import Door
from .routes import Hook, Way, ways


class Reader:
    """Reads one app, once.

    Args:
        made: what is known of what the entries of each app's list have made; more is added.
    """

    def __init__(self, made: Made) -> None:
        self.points = Points()
        self._made = made
        self._added = 0
        self._open: set[int] = set()
        self._read: dict[int, Any] = {}

    def read(self, app: Any) -> Chain:
        """Return the chain of `app`."""
        nodes = self._line(Step(app), "")
        return Chain(nodes, self.points.found)

    def added(self, name: str, seam: str = "", where: str = "") -> ChainNode:
        """Return a node for what is there for the sake of telemetry, or of the audit."""
        self._added += 1
        return ChainNode(
            f"+{self._added - 1}", name, "instrumentation", where, mode="async", seam=seam
        )

    def _line(self, step: Step, prefix: str, way: Way | None = None) -> tuple[ChainNode, ...]:
        """Return the nodes from `step` inwards, up to where the chain ends or branches."""
        nodes: list[ChainNode] = []
        own = 0
        for stop in stops(step, self._made):
            place = f"{prefix}{own}"
            if stop.role == "added":
                nodes.append(self.added(type(stop.app).__name__, where=where_is(type(stop.app))))
                continue
            if stop.role == "router":
                nodes.append(self._router(stop.app, place))
            elif stop.role == "end" and way is not None:
                nodes += self._endpoints(way, Step(stop.app, stop.put), prefix, own)
            else:
                nodes.append(self._layer(stop, place))
            own += 1
        return tuple(nodes)

    def _layer(self, stop: Stop, node: str) -> ChainNode:
        part, end = describe_layer(stop.app), stop.role == "end"
        inner: tuple[ChainNode, ...] = ()
        if isinstance(stop.app, (ServerErrorMiddleware, ExceptionMiddleware)):
            inner = self._handlers(stop, node)
        for number, further in enumerate(stop.further, len(inner)):
            # Apps that it chooses from: each with a chain of its own.
            inner += self._branch(further, f"{node}.{number}", name_of(further.app))
        return ChainNode(
            node,
            part.name,
            kind_of(stop.app, end=end),
            part.where,
            part.mode,
            seam_of(stop.app, end=end),
            self.points.of_layer(node, part),
            inner,
        )

    def _branch(self, step: Step, node: str, name: str) -> tuple[ChainNode, ...]:
        if id(step.app) in self._read:  # Two that hold one another, or one that all hold.
            return ()
        self._read[id(step.app)] = step.app
        inner = self._line(step, f"{node}.")
        return (ChainNode(node, name, "mount", "", "async", MOUNT, (), inner),)

    def _handlers(self, stop: Stop, node: str) -> tuple[ChainNode, ...]:
        last = isinstance(stop.app, ExceptionMiddleware)
        found: list[ChainNode] = []
        for key, handler in getattr(stop.owner, "exception_handlers", {}).items():
            if (key not in (500, Exception)) is last and handler is not None:
                part = describe_call(handler)
                place = f"{node}.{len(found)}"
                shown = getattr(key, "__name__", key)
                phases = self.points.of_call(place, part)
                seam = f"{shown}: {HANDLER}"
                found.append(
                    ChainNode(place, part.name, "handler", part.where, part.mode, seam, phases)
                )
        return tuple(found)

    def _router(self, router: Any, node: str) -> ChainNode:
        inner: list[ChainNode] = []
        if id(router) not in self._open:  # A router may be mounted in itself.
            self._open.add(id(router))
            for way in ways(router):
                inner += self._way(way, f"{node}.", len(inner))
            self._open.discard(id(router))
        part = describe_layer(router)
        return ChainNode(node, part.name, "class", part.where, part.mode, ROUTER, (), tuple(inner))

    def _way(self, way: Way, prefix: str, index: int) -> list[ChainNode]:
        step = Step(way.app, way.put)
        step = past_probes(step)
        layered = bool(steps_of(step.app))
        if not way.branches and not layered:
            return self._endpoints(way, step, prefix, index)
        node = f"{prefix}{index}"
        inner = self._line(step, f"{node}.", None if way.branches else way)
        return [ChainNode(node, way.path, "mount", "", "async", MOUNT, (), inner)]

    def _endpoints(self, way: Way, step: Step, prefix: str, index: int) -> list[ChainNode]:
        found: list[ChainNode] = []
        door = None if step.put is None else Door(step.app, step.put)
        for call, cls in way.endpoints or ((None, None),):
            node = f"{prefix}{index + len(found)}"
            if call is None:
                found.append(ChainNode(node, way.path, "endpoint", "", "async", ENDPOINT))
                continue
            part = describe_call(call, cls)
            method = call.__name__.upper() if cls is not None else None
            seam = f"{' '.join(filter(None, [method, way.path]))}: {ENDPOINT}"
            waits_for = WEBSOCKET if way.websocket else method
            phases = self.points.of_endpoint(node, part, door, waits_for)
            inner = self._hooks(way.hooks, f"{node}.", door)
            found.append(
                ChainNode(node, part.name, "endpoint", part.where, part.mode, seam, phases, inner)
            )
        return found

    def _hooks(
        self, hooks: tuple[Hook, ...], prefix: str, door: Door | None
    ) -> tuple[ChainNode, ...]:
        found = []
        for index, hook in enumerate(hooks):
            node, part = f"{prefix}{index}", describe_call(hook.call)
            phases = self.points.of_call(node, part, door)
            inner = self._hooks(hook.hooks, f"{node}.", door)
            found.append(
                ChainNode(node, part.name, "hook", part.where, part.mode, HOOK, phases, inner)
            )
        return tuple(found)
