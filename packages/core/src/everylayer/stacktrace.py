"""Stack traces as the standard library words them: bounded, and cheap from the second on."""

from __future__ import annotations

from collections.abc import Callable
from types import CodeType, FrameType, TracebackType
from typing import TYPE_CHECKING, NamedTuple

from . import text
from .failsafe import contained
from .rendering.cache import Generations
from .rendering.frames import HAS_COLUMNS, FrameCache, guard_of, spot_of
from .rendering.layout import Layout
from .rendering.tree import plant

if TYPE_CHECKING:
    from .redaction.guard import Redacting

# A name or a path longer than this is an attack on the exporter.
_MAX_NAME_BYTES = 2048

_frames = FrameCache()


class Frame(NamedTuple):
    """Where an error was raised: qualified function name, file, line (0 where unknown)."""

    function: str
    file: str
    line: int


_raising: Generations[int, tuple[Callable[[], CodeType | None], Frame]] = Generations(4096)


def raising_frame(tb: TracebackType | None) -> Frame | None:
    """Return the innermost frame of `tb`, None without a traceback.

    A fault that everylayer puts is raised by the frame that it is put in.
    """
    if tb is None:
        return None
    outermost = tb
    while (inner := tb.tb_next) is not None:
        tb = inner
    known = _raising.young.get(spot_of(tb))
    if known is not None and known[0]() is tb.tb_frame.f_code:
        return known[1]
    if is_own(tb.tb_frame):
        tb = _last_of_the_apps(outermost) or tb
    code = tb.tb_frame.f_code
    name = text.code_name(code)
    module = _module_of(tb.tb_frame)
    found = Frame(
        function=text.cut(f"{module}.{name}" if module else name, _MAX_NAME_BYTES),
        file=text.cut(code.co_filename, _MAX_NAME_BYTES),
        line=tb.tb_lineno or 0,
    )
    if HAS_COLUMNS:
        _raising.put(spot_of(tb), (guard_of(code), found))
    return found


def is_own(frame: FrameType) -> bool:
    """Tell whether a frame runs code of everylayer's packages."""
    return _module_of(frame).startswith("everylayer")


def _last_of_the_apps(tb: TracebackType | None) -> TracebackType | None:
    last = None
    while tb is not None:
        last = last if is_own(tb.tb_frame) else tb
        tb = tb.tb_next
    return last


def render(
    exc: BaseException,
    tb: TracebackType | None = None,
    *,
    max_bytes: int,
    redacting: Redacting | None = None,
) -> str:
    """Return the text of `traceback.format_exception(type(exc), exc, tb)`, whole chain and all.

    Never raises and keeps no reference to what it is given. The text is the same to the byte,
    apart from lone surrogates, as long as it fits `max_bytes`; a longer one is cut in the
    middle. What is sure to be cut is not made in the first place: see `plant`, `stack_lines`
    and `final_lines` for what that may change in a text that is over the budget anyhow.

    Args:
        exc: any exception.
        tb: its traceback, None for its own.
        max_bytes: of UTF-8.
        redacting: takes secrets out, before anything is cut.
    """
    if max_bytes <= 0:
        return ""
    rendered = _render(exc, tb, max_bytes, redacting)
    if rendered is None:
        message = text.message_of(exc)
        left_out = 0
        if redacting is not None:
            message, left_out = redacting.bounded(message, max_bytes)
        return text.cut(f"{text.type_name(exc)}: {message}\n", max_bytes, left_out)
    return rendered


@contained
def _render(
    exc: BaseException, tb: TracebackType | None, max_bytes: int, redacting: Redacting | None
) -> str:
    frames = _frames if redacting is None else redacting.frames
    return Layout(frames, max_bytes, redacting).render(plant(exc, tb, max_bytes))


def _module_of(frame: FrameType) -> str:
    # Globals may be of a subclass of dict.
    module = dict.get(frame.f_globals, "__name__")
    return module if type(module) is str else ""
