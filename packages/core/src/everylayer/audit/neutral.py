"""The adapter for plain WSGI and ASGI callables, and for plain layers around a framework's app."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from .. import asgi, wsgi
from ..faults.code import CodePoint
from ..faults.point import Point
from ..faults.watched import Moment
from ..layers import Layer, LayerMap, codes_of, name_of
from ..settings import resolve
from .adapter import Adapter, Chain, Opened
from .callables import (
    Slot,
    interface_of,
    is_instrumentation,
    is_plain_function,
    is_probe,
    slots_of,
    streaming_codes,
    where,
)
from .hosts import DEFAULT
from .model import Arm, ChainNode, Phase, Shape
from .neutral_apps import ASGIEndpoint, ASGIProbe, ASGIShape, WSGIEndpoint, WSGIProbe, WSGIShape
from .points import Later, OfOne
from .wire import TargetError

_MAX_LAYERS = 64
_MOMENTS: tuple[tuple[Phase, Moment], ...] = (("before", "start"), ("after", "return"))


class Neutral:
    """Reads what `.app` and closures hold; calls nothing.

    Args:
        frameworks: adapters to ask for what stands inside plain layers.
    """

    framework = "plain"

    def __init__(self, frameworks: Sequence[Adapter] = ()) -> None:
        self._frameworks = frameworks

    def prepare(self, arm: Arm) -> None:
        """Do nothing: a plain callable needs nothing before it is imported."""

    def claims(self, app: object) -> bool:
        """Tell whether `app` is called as WSGI or ASGI apps are."""
        return interface_of(app) != ""

    def open(self, app: Any, arm: Arm, shape: Shape) -> Opened:
        """Read the chain, put in what the arm and the shape ask for."""
        interface = interface_of(app)
        if not interface:
            raise TargetError("it cannot be told whether the app is WSGI or ASGI")
        reading = _Reading(interface, self._frameworks)
        top = _Top(app)
        reading.follow(Slot(app, top.put))
        stock = reading.open_inside(arm)
        reading.end()
        if arm == "everylayer":
            reading.probe(outermost=shape != "raised")
        self.framework = reading.framework or f"plain {interface.upper()}"
        if shape != "raised":
            make = ASGIShape if interface == "asgi" else WSGIShape
            top.app = make(top.app, shape)
        if arm == "everylayer" and not reading.has("everylayer"):
            top.app = _seam(top.app, interface, reading.layer_map())
            reading.instrument(top.app, "the outermost seam")
        if reading.inside is None:
            stock = self._stock(top, reading, arm)
        chain = Chain(tuple(reading.nodes()), reading.points)
        return Opened(top.app, interface, chain, stock, reading.host)

    def chain(self, app: Any) -> Chain:
        """Read the chain of an app that serves already."""
        interface = interface_of(app)
        if not interface:
            raise TargetError("it cannot be told whether the app is WSGI or ASGI")
        reading = _Reading(interface, self._frameworks, serving=True)
        reading.follow(Slot(app, _Top(app).put))
        reading.read_inside()
        return Chain(tuple(reading.nodes()), reading.points)

    def _stock(self, top: _Top, reading: _Reading, arm: Arm) -> str:
        """Put OpenTelemetry's own layer around all; return why not."""
        if arm == "bare" or reading.has("opentelemetry"):
            return ""
        package = f"opentelemetry-instrumentation-{reading.interface}"
        try:
            if reading.interface == "asgi":
                from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
            else:
                from opentelemetry.instrumentation.wsgi import (  # type: ignore[assignment]
                    OpenTelemetryMiddleware,
                )
        except ImportError:
            return f"{package} is not installed: pip install {package}"
        top.app = OpenTelemetryMiddleware(top.app)
        reading.instrument(top.app, "")
        return ""


class _Top:
    """Holds what a server would call."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def put(self, app: Any) -> None:
        self.app = app


@dataclass
class _Found:
    """A layer, where it is held, what is held there by now, and what it leads to."""

    slot: Slot
    now: Any
    id: str = ""
    probed: bool = False
    phases: list[Phase] = field(default_factory=list)
    inner: list[list[_Found]] = field(default_factory=list)


class _Reading:
    """A chain as it is read, and what is put into it.

    Attributes:
        inside: the chain of the framework's app at its end.
        framework: its name.
        host: one that it answers for.

    Args:
        serving: the app serves already, and many requests at a time.
    """

    def __init__(
        self,
        interface: Literal["wsgi", "asgi"],
        frameworks: Sequence[Adapter],
        *,
        serving: bool = False,
    ) -> None:
        self.interface = interface
        self._serving = serving
        self.inside: Chain | None = None
        self.framework = ""
        self.host = DEFAULT
        self.points: dict[tuple[str, Phase], Point] = {}
        self._frameworks = frameworks
        self._line: list[_Found] = []
        self._claimed: tuple[Adapter, Slot] | None = None
        self._added: list[ChainNode] = []
        self._seen: set[int] = set()

    def follow(self, first: Slot) -> None:
        """Read from the outermost layer to the innermost, or to a framework's app."""
        self._line = self._follow(first, "")

    def _follow(self, slot: Slot, prefix: str) -> list[_Found]:
        line: list[_Found] = []
        following: Slot | None = slot
        while following is not None and len(self._seen) < _MAX_LAYERS:
            here, following = following, None
            self._seen.add(id(here.app))
            adapter = None if prefix else self._claimant(here.app)
            if adapter is not None:
                self._claimed = (adapter, here)
                break
            found = _Found(here, here.app)
            if not is_probe(here.app):
                line.append(found)
            if not is_instrumentation(here.app):
                found.id = f"{prefix}{sum(1 for each in line if each.id)}"
                self._phases(found)
            slots = [each for each in slots_of(here.app, self._is_app) if not self._known(each)]
            if slots and not slots[0].prefix:
                following = slots.pop(0)
            for index, each in enumerate(slots):
                found.inner.append(self._follow(each, f"{found.id}.{index}."))
        return line

    def _claimant(self, app: Any) -> Adapter | None:
        return next((each for each in self._frameworks if each.claims(app)), None)

    def _is_app(self, value: Any) -> bool:
        return interface_of(value) == self.interface or self._claimant(value) is not None

    def _known(self, slot: Slot) -> bool:
        return id(slot.app) in self._seen

    def _phases(self, found: _Found) -> None:
        codes = tuple(codes_of(found.slot.app))
        if not codes:
            return
        for phase, moment in _MOMENTS:
            self._point(found, phase, OfOne(CodePoint(codes, moment), codes, found.slot.app))
        streaming = tuple(each for code in codes for each in streaming_codes(code, self.interface))
        # Which message is a response's first cannot be told where many are on their way.
        if streaming and not (self._serving and self.interface == "asgi"):
            point: Point = CodePoint(streaming, "start")
            self._point(found, "stream", Later(point) if self.interface == "asgi" else point)

    def _point(self, found: _Found, phase: Phase, point: Point) -> None:
        found.phases.append(phase)
        self.points[found.id, phase] = point

    def open_inside(self, arm: Arm) -> str:
        """Open the framework's app inside, if there is one; return why stock is not on there."""
        if self._claimed is None:
            return ""
        adapter, slot = self._claimed
        surrounded = getattr(adapter, "surrounded", None)
        if surrounded is not None and self.has("opentelemetry"):
            surrounded()
        opened = adapter.open(slot.app, arm, "raised")
        if opened.app is not slot.app:
            slot.put(opened.app)
        self._take(adapter, opened.chain)
        self.host = opened.host
        return opened.stock

    def read_inside(self) -> None:
        """Read the chain of the framework's app inside, if there is one."""
        if self._claimed is not None:
            adapter, slot = self._claimed
            self._take(adapter, adapter.chain(slot.app))

    def _take(self, adapter: Adapter, inside: Chain) -> None:
        by = sum(1 for each in self._line if each.id)
        for (node, phase), point in inside.points.items():
            self.points[_moved(node, by), phase] = point
        self.inside = inside
        self.framework = adapter.framework

    def end(self) -> None:
        """Have the innermost app answer with a stream, where a fault asks for one."""
        mine = [each for each in self._line if each.id]
        if self.inside is not None or not mine:
            return
        last = mine[-1]
        endpoint: ASGIEndpoint | WSGIEndpoint
        if self.interface == "asgi":
            endpoint = ASGIEndpoint(last.slot.app)
        else:
            endpoint = WSGIEndpoint(last.slot.app)
        with contextlib.suppress(AttributeError, TypeError):
            last.slot.put(endpoint)
            last.now = endpoint
            if "stream" not in last.phases:
                self._point(last, "stream", endpoint.stream)
            if isinstance(endpoint, WSGIEndpoint):
                self._point(last, "teardown", endpoint.teardown)

    def probe(self, *, outermost: bool) -> None:
        """Put a probe between each two layers.

        Args:
            outermost: one more layer will stand around the first.
        """
        make: Callable[..., Any] = ASGIProbe if self.interface == "asgi" else WSGIProbe
        for index, found in enumerate(self._line):
            if found.id and (index or outermost):
                with contextlib.suppress(AttributeError, TypeError):
                    found.slot.put(make(found.now, self._layer(found, index)))
                    found.probed = True

    def layer_map(self) -> LayerMap:
        """Return who is who in a traceback."""
        layers = LayerMap()
        for index, found in enumerate(self._line):
            if found.id:
                layers.add(self._layer(found, index), codes_of(found.slot.app))
        return layers

    def _layer(self, found: _Found, index: int) -> Layer:
        kind = "app" if found is self._line[-1] and self.inside is None else "middleware"
        return Layer(name_of(found.slot.app), kind, index)

    def has(self, package: str) -> bool:
        """Tell whether the chain has an entry of `package` already."""
        return any(
            not found.id and str(type(found.slot.app).__module__).startswith(package)
            for found in self._line
        )

    def instrument(self, app: Any, seam: str) -> None:
        """Note what was put around all."""
        mode = "async" if self.interface == "asgi" else "sync"
        node = ChainNode("", name_of(app), "instrumentation", where(app), mode, seam)
        self._added.insert(0, node)

    def nodes(self) -> list[ChainNode]:
        """Return the chain, outermost first."""
        own = [self._node(found) for found in self._line]
        by = sum(1 for each in self._line if each.id)
        rest = self.inside.nodes if self.inside is not None else ()
        line = [*self._added, *own, *(_move(node, by) for node in rest)]
        count = iter(range(len(line)))
        return [
            dataclasses.replace(node, id=f"+{next(count)}")
            if node.kind == "instrumentation"
            else node
            for node in line
        ]

    def _node(self, found: _Found) -> ChainNode:
        app = found.slot.app
        name = name_of(app)
        return ChainNode(
            id=found.id,
            name=f"{found.slot.prefix} {name}" if found.slot.prefix else name,
            kind=self._kind(found),
            where=where(app),
            mode="async" if self.interface == "asgi" else "sync",
            seam="" if not found.id else self._seam(found),
            phases=tuple(found.phases),
            inner=tuple(
                dataclasses.replace(
                    self._node(line[0]),
                    kind="mount",
                    inner=(*self._node(line[0]).inner, *map(self._node, line[1:])),
                )
                for line in found.inner
                if line
            ),
        )

    def _kind(self, found: _Found) -> str:
        if not found.id:
            return "instrumentation"
        if found is self._line[-1] and self.inside is None:
            return "endpoint"
        app = found.slot.app
        return "function" if is_plain_function(app) or inspect.ismethod(app) else self.interface

    def _seam(self, found: _Found) -> str:
        if found.probed:
            return "a probe around it"
        return "the outermost seam" if found is self._line[0] else "what leads to it"


def _seam(app: Any, interface: str, layers: LayerMap) -> Any:
    settings = resolve()
    if interface == "asgi":
        return asgi.Seam(app, settings, layers)
    return wsgi.Seam(app, settings, layers)


def _moved(node: str, by: int) -> str:
    first, dot, rest = node.partition(".")
    return node if node.startswith("+") else f"{int(first) + by}{dot}{rest}"


def _move(node: ChainNode, by: int) -> ChainNode:
    inner = tuple(_move(each, by) for each in node.inner)
    return dataclasses.replace(node, id=_moved(node.id, by), inner=inner)
