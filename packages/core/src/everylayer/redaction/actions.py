"""What takes the place of a secret."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..settings import SettingsError

if TYPE_CHECKING:
    from .keys import KeyProvider

# Kind and value to what is shown.
Action = Callable[[str, str], str]

ACTIONS = ("mask", "drop", "hash", "tokenise", "tokenise-same")

# Without a key of the user's, hashes can be compared within one process.
_OF_THE_PROCESS = os.urandom(32)


def mask(kind: str, value: str) -> str:
    """Return the kind alone."""
    return f"[{kind}]"


def drop(kind: str, value: str) -> str:
    """Return nothing."""
    return ""


def action(name: str, keys: KeyProvider | None) -> Action:
    """Return the action called `name`.

    Raises:
        SettingsError: there is none, or what it needs is not there.
    """
    if name == "mask":
        return mask
    if name == "drop":
        return drop
    if name == "hash":
        return _hash(keys)
    if name in ("tokenise", "tokenise-same"):
        if keys is None:
            raise SettingsError(f"everylayer redaction: {name} needs keys, and there are none.")
        from . import tokens

        return tokens.action(keys, same=name == "tokenise-same")
    raise SettingsError(
        f"everylayer redaction knows no action {name!r:.100}; it must be "
        f"one of {', '.join(ACTIONS)}."
    )


def _hash(keys: KeyProvider | None) -> Action:
    import hashlib

    from .keys import current_of

    if keys is not None:
        current_of(keys)

    def replace(kind: str, value: str) -> str:
        key = current_of(keys)[1] if keys is not None else _OF_THE_PROCESS
        data = value.encode("utf-8", "surrogatepass")
        digest = hashlib.blake2s(data, key=key, digest_size=6, person=b"redacted")
        return f"[{kind}#{digest.hexdigest()}]"

    return replace
