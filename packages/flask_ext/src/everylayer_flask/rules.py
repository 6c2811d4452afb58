"""What the seams of one app share: settings, the names of its layers, whether stock is there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import CodeType, FrameType, TracebackType
from typing import Any

from opentelemetry import trace
from werkzeug.wrappers import Response

from everylayer.layers import Layer, LayerMap, codes_of, frame_name, name_of
from everylayer.settings import Settings

from . import stock

Place = tuple["Layer | None", str]

# Keyed by `id`, which an entry keeps from being given to another: to hash a code object is to walk
# through all of its bytecode.
Known = dict[int, tuple[CodeType, Layer]]

# Frames of these say how a function of the app was called, not which one it is.
PLUMBING = frozenset(
    (
        *("asgiref", "asyncio", "blinker", "concurrent", "contextlib", "ddtrace", "everylayer"),
        *("everylayer_flask", "flask", "jinja2", "opentelemetry", "threading", "werkzeug"),
    )
)


class Rules(LayerMap):
    """What the seams of one app share, its WSGI layers by their code included.

    Attributes:
        settings: the rules in force.
        known: the app's WSGI layers, by the code of their functions.
        starts_span: a server span is wanted, and none of the layers starts one.
        inside: the rules of the Flask app below plain WSGI layers.
    """

    asked_by_seams = True
    framework = "flask"
    __slots__ = ("inside", "known", "settings", "starts_span")

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self.known: Known = {}
        self.inside: Rules | None = None
        self.starts_span = settings.server_span and settings.enabled

    def wants_span(self) -> bool:
        """Tell whether the request that comes in has no span, and will get none but ours."""
        if self.inside is not None and not self.inside.starts_span:
            return False
        return self.starts_span and not trace.get_current_span().get_span_context().is_valid

    def locate(self, tb: TracebackType | None) -> Layer | None:
        return self.place(tb, "")[0]

    def place(self, tb: TracebackType | None, phase: str) -> Place:
        """Return the layer that a traceback comes from, and what it was doing."""
        found: Layer | None = None
        known = self.known
        while known and tb is not None:
            code = known.get(id(tb.tb_frame.f_code))
            if code is not None:
                found = code[1]
            tb = tb.tb_next
        return found, phase

    def know(self, layers: Iterable[Any]) -> None:
        """Take what stands around the app, outermost first; that one keeps a shared code."""
        known: Known = {}
        self.starts_span = self.settings.server_span and self.settings.enabled
        index = 0
        for layer in layers:
            if stock.starts_span(layer):
                self.starts_span = False
            if stock.is_stock(layer):
                continue
            named = Layer(name_of(layer), "middleware", index)
            # A layer's own `start_response`, say, is the layer.
            for outer in codes_of(layer):
                for code in codes_within(outer):
                    known.setdefault(id(code), (code, named))
            index += 1
        self.known = known


def of_body(tb: TracebackType | None, phase: str) -> Layer | None:
    """Name what produces, or closes, a response body: the outermost function of the app's.

    Below Flask or Werkzeug it is a view's, or what was to be called on close.
    """
    kind = "middleware"
    found: FrameType | None = None
    while tb is not None:
        frame, tb = tb.tb_frame, tb.tb_next
        if frame.f_code is Response.close.__code__:
            # A body of a layer's has handed the close on.
            found = None
        if found is None and not is_plumbing(frame):
            found = frame
        if found is None and module_of(frame) in ("flask", "werkzeug"):
            kind = "hook" if phase == "close" else "view"
    return None if found is None else Layer(frame_name(found), kind)


def module_of(frame: FrameType) -> str:
    """Return the name of the top-level package that a frame's code is from."""
    return str(frame.f_globals.get("__name__")).partition(".")[0]


def is_plumbing(frame: FrameType) -> bool:
    """Tell whether a frame is none of the app's."""
    return module_of(frame) in PLUMBING


def codes_within(code: CodeType) -> Iterator[CodeType]:
    """Yield a function's code and that of the functions inside it."""
    yield code
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from codes_within(const)
