"""What the seams of one app share: settings, the names of its layers, whether stock is there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import CodeType, TracebackType
from typing import Any

from everylayer.layers import Layer, LayerMap, codes_of, name_of
from everylayer.settings import Settings

from . import stock

Place = tuple["Layer | None", str]


class Rules(LayerMap):
    """What the seams of one app share, its WSGI layers by their code included.

    Attributes:
        settings: the rules in force.
        known: the app's WSGI layers, by the code of their functions.
    """

    __slots__ = ("_otel_layer", "known", "settings")

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self.known: dict[CodeType, Layer] = {}
        self._otel_layer = False

    def instrumented(self) -> bool:
        """Tell whether no server span is to be started: one will be, or none is wanted."""
        return self._otel_layer or not self.settings.server_span

    def locate(self, tb: TracebackType | None) -> Layer | None:
        return self.place(tb, "")[0]

    def place(self, tb: TracebackType | None, phase: str) -> Place:
        """Return the layer that a traceback comes from, and what it was doing."""
        found: Layer | None = None
        while tb is not None:
            found = self.known.get(tb.tb_frame.f_code, found)
            tb = tb.tb_next
        return found, phase

    def know(self, layers: Iterable[Any]) -> None:
        """Take the app's WSGI layers, outermost first; that one keeps a shared code."""
        known: dict[CodeType, Layer] = {}
        self._otel_layer = False
        for index, layer in enumerate(layers):
            named = Layer(name_of(layer), "middleware", index)
            for code in _all_codes(layer):
                known.setdefault(code, named)
            self._otel_layer = self._otel_layer or stock.is_otel_layer(layer)
        self.known = known


def _all_codes(layer: Any) -> Iterator[CodeType]:
    """Yield the code of a layer and of the functions inside it: its `start_response`, say."""
    pending = list(codes_of(layer))
    while pending:
        code = pending.pop()
        yield code
        pending += [const for const in code.co_consts if isinstance(const, CodeType)]
