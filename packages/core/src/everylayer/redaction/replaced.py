"""Who is told of secrets that were replaced: nobody, until there are metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable

# Given for each secret the name of the rule that found it.
Listener = Callable[[Iterable[str]], None]

_listener: Listener | None = None


def listen(listener: Listener) -> None:
    """Have `listener` called for each text in which secrets were replaced."""
    global _listener
    _listener = listener


def tell(rules: Iterable[str]) -> None:
    """Say which rules have found something."""
    if _listener is not None:
        _listener(rules)
