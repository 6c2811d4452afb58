"""The chain, built anew, with a note of what Django took from MIDDLEWARE."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.core.handlers import base
from django.core.handlers.asgi import ASGIHandler


class Entry(NamedTuple):
    """An entry of MIDDLEWARE that is in use.

    Attributes:
        factory: what its path names.
        layer: what that has made.
    """

    path: str
    factory: Any
    layer: Any


def load(handler: Any) -> list[Entry]:
    """Build the chain of `handler` and return its entries, outermost first."""
    names: Any = base
    imports, converts = names.import_string, names.convert_exception_to_response
    found: list[Entry] = []
    last: tuple[str, Any] | None = None

    def import_string(path: str) -> Any:
        nonlocal last
        made = imports(path)
        last = (path, made)
        return made

    def convert_exception_to_response(get_response: Any) -> Any:
        if last is not None:
            found.append(Entry(*last, get_response))
        return converts(get_response)

    names.import_string = import_string
    names.convert_exception_to_response = convert_exception_to_response
    try:
        handler.load_middleware(is_async=isinstance(handler, ASGIHandler))
    finally:
        names.import_string = imports
        names.convert_exception_to_response = converts
    return found[::-1]
