"""What the app gave to Sentry, without secrets: read as Sentry will show it, copied on change."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from datetime import datetime
from itertools import islice
from typing import Any

from sentry_sdk import serializer
from sentry_sdk.utils import AnnotatedValue as _AnnotatedValue  # type: ignore[attr-defined]
from sentry_sdk.utils import safe_repr

from ... import text as texts
from ...failsafe import count_failure
from ...redaction.guard import Redacting
from ...redaction.redactor import FAILED, MOST
from ...redaction.rules import NAMED

# A value that Sentry's SDK has said something of, in `metadata`.
AnnotatedValue: Any = _AnnotatedValue
# Stands for what is beyond the bounds: unseen by the redactor, so not sent.
LEFT_OUT = "[left out]"
_MOST_NODES = 20_000
_MOST_CHARS = 2_000_000
_MOST_DEPTH = 32
_CYCLIC = "<cyclic>"

_PLAIN = frozenset({dict, list, tuple, str, set, frozenset, bytes})
_QUOTED = re.compile(r"""b?(["'])(?P<text>.*)\1""", re.DOTALL)
# What a name may have for a value that is none, or that somebody has replaced before.
_NO_VALUE = re.compile(r"(?:None|True|False|null|nil|\[[\w .:#=-]{0,200}\]|\{\}|\(\))?")


class Walk:
    """The way through one event, bounded altogether.

    Whatever fails is replaced by `[redaction failed]`, and counted.
    """

    __slots__ = (
        "_chars",
        "_custom_repr",
        "_cut",
        "_cyclic",
        "_keys",
        "_nodes",
        "_path",
        "redacting",
    )

    def __init__(self, redacting: Redacting, custom_repr: Any = None) -> None:
        """Use `redacting` on texts, and `custom_repr` of Sentry's options on objects."""
        self.redacting = redacting
        self._custom_repr = custom_repr
        self._nodes = _MOST_NODES
        self._chars = _MOST_CHARS
        self._path: set[int] = set()
        self._keys: dict[str, tuple[str, bool]] = {}
        self._cyclic = False
        self._cut = False

    def text(self, value: str) -> str:
        """Return `value` without secrets; the middle of one beyond 64 KiB may be left out."""
        self._chars -= len(value)
        if self._chars < 0:
            return LEFT_OUT
        kept, left_out = self.redacting.bounded(value, MOST)
        return texts.cut(kept, MOST, left_out) if left_out else kept

    def data(
        self,
        value: Any,
        *,
        bag: bool = False,
        depth: int = 0,
        pairs: bool = False,
        secret: bool = False,
    ) -> Any:
        """Return `value` without secrets, the same object if it holds none.

        Args:
            value: anything that Sentry takes.
            bag: Sentry shows the first items of it alone, to a small depth.
            depth: where in a bag it stands.
            pairs: two in a sequence are a name and a value.
            secret: each value in it is one.
        """
        self._cyclic = False
        found = self._node(value, depth, bag, pairs, secret)
        if self._cyclic and found is not value:
            # A copy must not lead back to what it was copied from.
            self._cut = True
            try:
                found = self._node(value, depth, bag, pairs, secret)
            finally:
                self._cut = False
        return found

    def _node(self, value: Any, depth: int, bag: bool, pairs: bool, secret: bool) -> Any:
        self._nodes -= 1
        if self._nodes < 0:
            return LEFT_OUT
        if type(value) is str and not secret:
            kept = self.text(value)
            return value if kept == value else kept
        try:
            return self._seen(value, depth, bag, pairs, secret)
        except Exception:
            # Without its stack, which may quote what was to be redacted.
            count_failure("everylayer.redaction", with_stack=False)
            return FAILED

    def _seen(self, value: Any, depth: int, bag: bool, pairs: bool, secret: bool) -> Any:
        if value is None or isinstance(value, (bool, datetime)):
            return value
        if type(value) not in _PLAIN:
            if isinstance(value, AnnotatedValue):
                inner = self._node(value.value, depth, bag, pairs, secret)
                return value if inner is value.value else AnnotatedValue(inner, value.metadata)
            shown = self._own(value, bag)
            if shown is not NotImplemented:
                return self._replaced(value, shown, depth, secret)
        if isinstance(value, str):
            return self._leaf(value, str.__str__(value), secret)
        if isinstance(value, (bytes, bytearray)):
            return self._leaf(value, value.decode("utf-8", "replace"), secret)
        is_mapping = isinstance(value, Mapping)
        deepest = serializer.MAX_DATABAG_DEPTH if bag else _MOST_DEPTH
        if depth < deepest and (is_mapping or isinstance(value, _sequences())):
            return self._within(value, is_mapping, depth, bag, pairs, secret)
        return self._leaf(value, self._repr(value), secret)

    def _own(self, value: Any, bag: bool) -> Any:
        """Return what Sentry shows for an object that has a say in it."""
        for processor in serializer.global_repr_processors if bag else ():
            hints = {"memo": serializer.Memo(), "remaining_depth": 1}
            shown: Any = processor(value, hints)
            if shown is not NotImplemented:
                return shown
        if isinstance(value, int):
            return int.__repr__(value)
        if isinstance(value, float):
            return float.__repr__(value)
        own = getattr(type(value), "__sentry_repr__", None)
        return own(value) if callable(own) else NotImplemented

    def _within(
        self, value: Any, is_mapping: bool, depth: int, bag: bool, pairs: bool, secret: bool
    ) -> Any:
        if id(value) in self._path:
            self._cyclic = True
            return _CYCLIC if self._cut else value
        self._path.add(id(value))
        try:
            most = serializer.MAX_DATABAG_BREADTH if bag else max(self._nodes, 0)
            if is_mapping:
                items = list(islice(value.items(), most + 1))
                found: Any = self._mapping(items, depth, bag, pairs, secret)
            else:
                items = list(islice(value, most + 1))
                found = self._sequence(items, depth, bag, pairs, secret)
            return value if found is None else found
        finally:
            self._path.discard(id(value))

    def _mapping(
        self, items: list[tuple[Any, Any]], depth: int, bag: bool, pairs: bool, secret: bool
    ) -> dict[str, Any] | None:
        changed = False
        found: dict[str, Any] = {}
        for key, item in items:
            name = key if type(key) is str else str(key)
            known = self._keys.get(name)
            if known is None:
                known = self._keys[name] = (self.text(name), self.names(name))
            shown, names = known
            kept = self._node(item, depth + 1, bag, pairs, secret or names)
            changed = changed or kept is not item or shown != name
            while shown in found:
                shown += "'"
            found[shown] = kept
        return found if changed else None

    def _sequence(
        self, items: list[Any], depth: int, bag: bool, pairs: bool, secret: bool
    ) -> list[Any] | None:
        changed = False
        found: list[Any] = []
        under = False
        for index, item in enumerate(items):
            kept = self._node(item, depth + 1, bag, pairs, secret or under)
            changed = changed or kept is not item
            found.append(kept)
            under = False
            if isinstance(item, (str, bytes)):
                name = item if isinstance(item, str) else item.decode("utf-8", "replace")
                if index == 0 and len(items) == 2:
                    under = self.names(name, header=not pairs)
                # `--password`, and what it is.
                under = under or (name.startswith("--") and self.names(name[2:]))
        return found if changed else None

    def names(self, name: str, *, header: bool = False) -> bool:
        """Tell whether a value of this name, which may be quoted, is a secret."""
        quoted = _QUOTED.fullmatch(name[:200])
        name = quoted["text"] if quoted is not None else name[:200]
        return self.redacting.redactor.is_named(name, header=header)

    def _leaf(self, value: Any, shown: str, secret: bool) -> Any:
        kept = self._secret(shown) if secret else self.text(shown)
        return value if kept == shown else kept

    def _secret(self, value: str) -> str:
        quoted = _QUOTED.fullmatch(value)
        bare = quoted["text"] if quoted is not None else value
        if _NO_VALUE.fullmatch(bare):
            return value
        kept = self.redacting.redactor.stand_in(NAMED, "secret", bare)
        return value if kept == bare else kept

    def _replaced(self, value: Any, shown: Any, depth: int, secret: bool) -> Any:
        """Return `value`, which is shown as `shown`, or what is left of that."""
        if isinstance(shown, AnnotatedValue):
            shown = shown.value
        if isinstance(shown, str):
            return self._leaf(value, str.__str__(shown), secret)
        if shown is None or isinstance(shown, (bool, int, float)) or shown is value:
            return self._leaf(value, repr(shown), secret)
        kept = self._node(shown, depth + 1, False, False, secret)
        return value if kept is shown else kept

    def _repr(self, value: Any) -> str:
        shown = None
        if self._custom_repr is not None:
            try:
                shown = self._custom_repr(value)
            except Exception:
                shown = None
        return shown or safe_repr(value)


def _sequences() -> tuple[type, ...]:
    # A list that integrations add to; older versions name the abstract classes.
    known: Iterable[type] = getattr(serializer, "sequence_types", (Sequence, Set))
    return tuple(known)
