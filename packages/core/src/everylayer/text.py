"""Strings that are safe to export: valid UTF-8, bounded in bytes, cut in the middle."""

from __future__ import annotations

from collections.abc import Mapping
from types import CodeType
from typing import Any

_MARK = "\n[... {} bytes left out ...]\n"
_MARK_ROOM = 48
_MAX_CLASS_NAME = 512

# Read through `type`: a metaclass may define hostile properties of these names.
_qualname: Any = type.__dict__["__qualname__"].__get__
_module: Any = type.__dict__["__module__"].__get__


def clean(text: str) -> str:
    """Return `text` as valid UTF-8: one lone surrogate loses a whole OTLP batch."""
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def clean_values(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return span attributes with each string, in a sequence too, as valid UTF-8."""
    return {key: _clean_value(value) for key, value in attributes.items()}


def _clean_value(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_clean_value(item) for item in value]
    return clean(value) if isinstance(value, str) else value


def cut(text: str, limit: int, left_out: int = 0) -> str:
    """Return `text`, valid and at most `limit` bytes of UTF-8, cut in the middle.

    Args:
        text: any string.
        limit: bytes; a limit too small to hold the mark keeps the head alone.
        left_out: characters that its middle has lost already.
    """
    if len(text) <= limit and not left_out and text.isascii():
        return text
    # Bound the work first: a character is at most ten bytes once escaped.
    total = len(text) + left_out
    if len(text) > 2 * limit:
        text = text[:limit] + text[-limit:]
    data = text.encode("utf-8", "backslashreplace")
    skipped = total - len(text)
    if not skipped and len(data) <= limit:
        return data.decode("utf-8")
    return ends(data, limit, skipped)


def ends(data: bytes, limit: int, skipped: int) -> str:
    """Return both ends of `data`, UTF-8, with a mark between them that says how much went.

    Args:
        data: longer than `limit`, or without its middle.
        limit: bytes of the result.
        skipped: what went of its middle before.
    """
    # Shorter than there is room for it can be where secrets went after the middle had.
    room = min(limit - _MARK_ROOM, len(data))
    if room <= 0:
        return data[:limit].decode("utf-8", "ignore")
    head = data[: room // 3].decode("utf-8", "ignore")
    tail = data[len(data) - (room - room // 3) :].decode("utf-8", "ignore")
    return head + _MARK.format(len(data) + skipped - room) + tail


def one_line(text: str, limit: int) -> str:
    """Return `text` on one line of at most `limit` characters, cut in the middle."""
    if len(text) > 4 * limit:
        text = text[: 2 * limit] + text[-2 * limit :]
    return shorten(" ".join(text.split()), limit)


def shorten(text: str, limit: int) -> str:
    """Return `text`, valid and at most `limit` characters, cut in the middle."""
    if len(text) > 2 * limit:
        text = text[:limit] + text[-limit:]
    text = clean(text)
    if len(text) <= limit:
        return text
    head = (limit - 1) // 2
    return f"{text[:head]}…{text[len(text) - (limit - 1 - head) :]}"


def message_of(exc: BaseException) -> str:
    """Return `str(exc)`, or a placeholder where that raises.

    Any BaseException is caught, as the standard library's `traceback` does: a hostile
    `__str__` must not replace the app's own exception.
    """
    try:
        text = str(exc)
        return text if type(text) is str else str.__str__(text)
    except BaseException:
        return f"<{type_name(exc)} whose str() raises>"


def is_printable(exc: BaseException) -> bool:
    """Tell whether `str(exc)` works."""
    try:
        str(exc)
    except BaseException:
        return False
    return True


def type_name(exc: BaseException) -> str:
    """Return the fully qualified class name, bare for a builtin (semconv `exception.type`)."""
    return class_name(type(exc))


def class_name(cls: type) -> str:
    """Return module and qualified name of `cls`, bare for a builtin; bounded, valid UTF-8."""
    name = _qualname(cls)
    try:
        module = _module(cls)
    except AttributeError:
        module = None
    if isinstance(module, str) and module != "builtins":
        name = f"{module}.{name}"
    return shorten(name, _MAX_CLASS_NAME)


def code_name(code: CodeType) -> str:
    """Return the qualified name of a function's code, as far as it knows more than its bare one.

    Before 3.11 none does; the stub of a frame that ran elsewhere still bears that of its module.
    """
    name = str(getattr(code, "co_qualname", code.co_name))
    return code.co_name if name == "<module>" else name
