"""Where keys come from."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from ..settings import SettingsError

SIZE = 32
_ID = re.compile("[A-Za-z0-9_-]{1,32}")


class TokenError(ValueError):
    """A token that cannot be read: malformed, changed, or of a key that is not there."""


@runtime_checkable
class KeyProvider(Protocol):
    """Keys by their id. Implement it over an HSM or a KMS.

    Both methods are called while an error is recorded and must not block for long: fetch keys
    beforehand. What they raise drops the text that was to be redacted.
    """

    def current(self) -> tuple[str, bytes]:
        """Return id and key, 32 bytes, that new tokens are made with."""
        ...

    def get(self, key_id: str) -> bytes | None:
        """Return the key of this id, None if it is not known."""
        ...


class Keys:
    """Keys in memory; the first is current, the others read what was made before a rotation.

    Args:
        keys: id -> key of 32 bytes; ids are of letters, digits, `-` and `_`, at most 32.
        source: where they come from, for messages.

    Raises:
        SettingsError: for no key at all, a bad id, or a key that is not of 32 bytes.
    """

    __slots__ = ("_current", "_keys")

    def __init__(self, keys: Mapping[str, bytes], source: str = "keys") -> None:
        if not keys:
            raise SettingsError(f"everylayer redaction: {source} holds no key.")
        for key_id, key in keys.items():
            if not _ID.fullmatch(key_id):
                raise SettingsError(
                    f"everylayer redaction: key id {key_id!r:.100} of {source} must be of letters, "
                    "digits, - and _, at most 32."
                )
            if len(key) != SIZE:
                raise SettingsError(
                    f"everylayer redaction: key {key_id!r} of {source} has {len(key)} bytes; it "
                    f"must have {SIZE}."
                )
        self._keys = dict(keys)
        self._current = next(iter(self._keys))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {', '.join(self._keys)}>"

    def current(self) -> tuple[str, bytes]:
        """Return id and key that new tokens are made with."""
        return self._current, self._keys[self._current]

    def get(self, key_id: str) -> bytes | None:
        """Return the key of this id, None if it is not known."""
        return self._keys.get(key_id)


def current_of(keys: KeyProvider) -> tuple[str, bytes]:
    """Return id and key that new tokens are made with.

    Raises:
        SettingsError: they are of no use: nobody could read the token.
    """
    key_id, key = keys.current()
    if not (isinstance(key_id, str) and _ID.fullmatch(key_id)):
        raise SettingsError(
            f"everylayer redaction: the current key's id is {key_id!r:.100}; it must be of "
            "letters, digits, - and _, at most 32."
        )
    if not isinstance(key, bytes) or len(key) != SIZE:
        raise SettingsError(f"everylayer redaction: the current key must have {SIZE} bytes.")
    return key_id, key


def from_environment(variable: str = "REDACTION_KEYS") -> Keys:
    """Return the keys in a variable: `id=base64`, the current one first, comma separated.

    Raises:
        SettingsError: it is not set, or holds something else.
    """
    return _parsed(os.environ.get(variable, "").split(","), f"variable {variable}")


def from_file(path: str | os.PathLike[str]) -> Keys:
    """Return the keys in a file: `id=base64` on each line, the current one first.

    Raises:
        SettingsError: it cannot be read, or holds something else.
    """
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except (OSError, ValueError) as error:
        raise SettingsError(f"everylayer redaction: cannot read the keys: {error}.") from None
    return _parsed(lines, f"file {os.fspath(path)}")


def _parsed(entries: list[str], source: str) -> Keys:
    import base64
    import binascii

    found: dict[str, bytes] = {}
    for entry in entries:
        key_id, _, encoded = entry.strip().partition("=")
        if not key_id or key_id.startswith("#"):
            continue
        try:
            found[key_id] = base64.b64decode(encoded, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            # Never with the text itself: it may be most of a key.
            raise SettingsError(
                f"everylayer redaction: key {key_id!r:.40} of {source} is no base64."
            ) from None
    return Keys(found, source)
