"""Interceptors with no probe between them, and which of them an error came from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import FrameType, TracebackType
from typing import Any

from everylayer.chain import traceback_of
from everylayer.layers import Layer

from .naming import STOCK, is_stock, named
from .passing import Passing, passing

_OURS = __name__.partition(".")[0]
_CORE = Layer.__module__.partition(".")[0]


class Group:
    """An interceptor that may do anything with an error, and those around it that only hand it on.

    Attributes:
        methods: `intercept_service` of each, outermost first.
        first: the outermost layer.
        last: the innermost one, which may do more.
        innermost: the interceptor that `last` stands for.
        begins_span: `last` begins the server span.
        writes: that span stands around all that becomes of a response.
    """

    __slots__ = (
        *("_layers", "_passing", "begins_span", "first", "innermost"),
        *("last", "methods", "writes"),
    )

    def __init__(
        self,
        interceptors: Sequence[Any],
        layers: Sequence[Layer],
        known: Sequence[Passing],
        outermost: bool,
    ) -> None:
        """Take what is `known` of all interceptors but the last."""
        self.methods = tuple(found.intercept_service for found in interceptors)
        self.first = layers[0]
        self.last = layers[-1]
        self.innermost = interceptors[-1]
        self.begins_span = is_stock(interceptors[-1])
        self.writes = self.begins_span and len(layers) == 1 and outermost
        self._layers = tuple(layers)
        self._passing = tuple(known)

    def layer_of(self, exc: BaseException) -> Layer:
        """Return the layer that `exc` came from, as the frames that it left tell."""
        return self._reached(traceback_of(exc)) if self._passing else self.last

    def layer_inside(self, exc: BaseException) -> Layer:
        """As `layer_of`, of an error that has come as far as stock's layer, right around these."""
        tb = traceback_of(exc)
        while tb is not None and _module_of(tb).startswith(STOCK):
            tb = tb.tb_next
        return self._reached(tb) if self._passing else self.last

    def _reached(self, tb: TracebackType | None) -> Layer:
        at = 0
        entering = True  # The frame is the first of the layer `at`, or of one further in.
        for frame, line in _frames(tb):
            while entering and at < len(self._passing):
                if frame.f_code in self._passing[at].crossings:
                    break
                at += 1  # It has handed on what it got: none of its frames is there.
            if at == len(self._passing):
                return self.last
            entering = line in self._passing[at].crossings.get(frame.f_code, ())
            at += entering
        return self._layers[max(0, at - entering)]


def _frames(tb: TracebackType | None) -> Iterator[tuple[FrameType, int]]:
    """Yield the frames of `tb` and their lines, up to what is raised there by a fault's point."""
    while tb is not None:
        module = _module_of(tb).partition(".")[0]
        if module == _CORE:
            return
        if module != _OURS:
            yield tb.tb_frame, tb.tb_lineno
        tb = tb.tb_next


def _module_of(tb: TracebackType) -> str:
    return str(tb.tb_frame.f_globals.get("__name__"))


Source = Layer | Group


def grouped(interceptors: Sequence[Any]) -> list[Group]:
    """Return the groups that `interceptors`, outermost first, fall into."""
    kinds = [type(found) for found in interceptors]
    layers = named(interceptors)
    groups: list[Group] = []
    known: list[Passing] = []
    for at, found in enumerate(interceptors):
        read = None if at == len(kinds) - 1 or is_stock(found) else passing(found)
        # Of two instances, frames do not tell which has handed on what it got.
        if read is not None and (read.alike or kinds.count(kinds[at]) == 1):
            known.append(read)
            continue
        members = slice(at - len(known), at + 1)
        groups.append(Group(interceptors[members], layers[members], known, not groups))
        known = []
    return groups
