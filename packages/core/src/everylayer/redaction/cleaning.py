"""Values of telemetry without secrets: by rule alone, and the same object where there are none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .. import text
from .redactor import MOST, Redactor

_DEPTH = 8
_NAME = 100


class Cleaner:
    """A policy's rules over what others have written."""

    __slots__ = ("_redactor",)

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor

    def text(self, value: str) -> str:
        """Return `value` without secrets, valid UTF-8; fails closed."""
        kept, left_out = self._redactor.bounded(value, MOST)
        # One lone surrogate loses a whole batch.
        return text.cut(kept, MOST, left_out) if left_out else text.clean(kept)

    def description(self, value: str, types: Iterable[str]) -> str:
        """Return the description of a status without secrets.

        Args:
            value: a message, or `Type: message` as stock words it.
            types: of the exceptions on the span; the name of a type is no secret's name.
        """
        head, sign, message = value.partition(": ")
        if sign and head in {each.rpartition(".")[2] for each in types}:
            return f"{head}{sign}{self.text(message)}"
        return self.text(value)

    def attributes(
        self, values: Mapping[str, Any] | None, keys: frozenset[str] | None = None
    ) -> Mapping[str, Any] | None:
        """Return attributes with those of `keys`, by default all, without secrets."""
        changed = {}
        for key, value in (values or {}).items():
            if keys is None:
                kept = self._named(key, value)
            else:
                kept = self.value(value) if key in keys else value
            if kept is not value:
                changed[key] = kept
        return {**(values or {}), **changed} if changed else values

    def value(self, value: Any, depth: int = _DEPTH) -> Any:
        """Return a value of an attribute, or a body, without secrets."""
        if isinstance(value, str):
            kept = self.text(value)
            return value if kept == value else kept
        if isinstance(value, Mapping):
            if depth <= 0:
                return {}
            pairs = {key: self._named(key, each, depth - 1) for key, each in value.items()}
            return value if all(pairs[key] is each for key, each in value.items()) else pairs
        if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
            if depth <= 0:
                return ()
            items = tuple(self.value(each, depth - 1) for each in value)
            return value if all(a is b for a, b in zip(items, value, strict=True)) else items
        return value

    def _named(self, key: Any, value: Any, depth: int = _DEPTH) -> Any:
        # `session.id` and `http.request.header.cookie` name what they hold.
        name = key[-_NAME:].replace(".", "_") if isinstance(key, str) else ""
        if name and value and self._redactor.is_named(name):
            return self._redactor.stand_in("named", "secret", str(value))
        return self.value(value, depth)
