"""Opens apps for an audit, in a process that is as it was before afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor, _InstrumentedFastAPI
from opentelemetry.instrumentation.starlette import (
    StarletteInstrumentor,
    _InstrumentedStarlette,
)
from starlette.background import BackgroundTask

from everylayer.audit.adapter import Opened
from everylayer.audit.model import Arm, ChainNode, Phase, Shape
from everylayer.faults.point import Point
from everylayer_starlette.audit import StarletteAdapter
from everylayer_starlette.instrumentor import EveryLayerStarletteInstrumentor


@contextmanager
def prepared(arm: Arm) -> Iterator[StarletteAdapter]:
    """Give an adapter whose `prepare` has been called, and undo what it has done."""
    background = BackgroundTask.__call__
    adapter = StarletteAdapter()
    adapter.prepare(arm)
    try:
        yield adapter
    finally:
        # Stock builds each app's chain once more when it lets go.
        _InstrumentedStarlette._instrumented_starlette_apps.clear()
        _InstrumentedFastAPI._instrumented_fastapi_apps.clear()
        made = (EveryLayerStarletteInstrumentor(), StarletteInstrumentor(), FastAPIInstrumentor())
        for instrumentor in made:
            if instrumentor.is_instrumented_by_opentelemetry:
                instrumentor.uninstrument()
        BackgroundTask.__call__ = background  # type: ignore[method-assign]
        if hasattr(BackgroundTask, "_otel_original_call"):
            del BackgroundTask._otel_original_call


@contextmanager
def opened(make: Any, arm: Arm, shape: Shape = "raised") -> Iterator[Opened]:
    """Give what `make` makes, opened in this arm."""
    with prepared(arm) as adapter:
        app = make()
        assert adapter.claims(app)
        yield adapter.open(app, arm, shape)


def walk(nodes: tuple[ChainNode, ...]) -> Iterator[ChainNode]:
    """Yield each node with all that is in it, outermost first."""
    for node in nodes:
        yield node
        yield from walk(node.inner)


def own(given: Opened) -> dict[str, ChainNode]:
    """Return the nodes that are not there for the sake of telemetry, by id."""
    return {n.id: n for n in walk(given.chain.nodes) if n.kind != "instrumentation"}


def points_of(given: Opened, *phases: Phase) -> dict[tuple[str, Phase], Point]:
    """Return the points of these phases, in the order of the chain."""
    order = list(own(given))
    found = {key: p for key, p in given.chain.points.items() if not phases or key[1] in phases}
    return dict(sorted(found.items(), key=lambda item: order.index(item[0][0])))
