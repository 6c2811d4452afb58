"""Baggage, entry by entry: one that is malformed or too long goes by itself.

Source: w3c/baggage, HTTP_HEADER_FORMAT.md. At most 64 entries of together 8,192 bytes, as each
implementation must be able to hand on.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote, unquote_to_bytes

MAX_BYTES = 8192
MAX_ENTRIES = 64
_MAX_ENTRY = 4096
# What is looked at of what comes in: an attacker must not make us read megabytes.
_MAX_READ = 8 * MAX_BYTES
_KEY = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}")
# Besides letters, digits and `_.-~`, which are never encoded: no `"`, `,`, `;`, `\` and `%`.
_KEPT_AS_IS = "!#$&'()*/:<=>?@[]^`{|}"


class Allowed:
    """The keys that may pass: whole, or all that begin as one that ends in `*`."""

    __slots__ = ("_beginnings", "_keys")

    def __init__(self, keys: Iterable[str]) -> None:
        self._keys = frozenset(key for key in keys if not key.endswith("*"))
        self._beginnings = tuple(key[:-1] for key in keys if key.endswith("*"))

    def __contains__(self, key: str) -> bool:
        return key in self._keys or (bool(self._beginnings) and key.startswith(self._beginnings))


@functools.lru_cache(maxsize=16)
def allowed(keys: tuple[str, ...]) -> Allowed:
    """Return what the setting `baggage_keys` allows."""
    return Allowed(keys)


def read(headers: Iterable[str], wanted: Allowed) -> dict[str, str]:
    """Return the entries of all `headers` that are allowed and well formed; the last one counts.

    Properties of an entry are left out. A `+` stands for a space, as other SDKs write it.
    """
    found: dict[str, str] = {}
    size = 0
    for entry in ",".join(headers)[:_MAX_READ].split(","):
        key, equals, value = entry.partition(";")[0].partition("=")
        key, value = key.strip(" \t"), value.strip(" \t")
        if not equals or len(value) > _MAX_ENTRY or not _KEY.fullmatch(key):
            continue
        key = decoded(key)
        if key not in wanted or not (value.isascii() and value.isprintable()):
            continue
        size += len(key) + len(value) + 2
        if size > MAX_BYTES or (len(found) >= MAX_ENTRIES and key not in found):
            size -= len(key) + len(value) + 2
            continue
        found[key] = decoded(value.replace("+", " "))
    return found


def written(entries: Mapping[str, object], wanted: Allowed) -> str:
    """Return the header for those of `entries` that are allowed and fit; empty for none."""
    return ",".join(_fitting(entries, wanted))


def _fitting(entries: Mapping[str, object], wanted: Allowed) -> Iterator[str]:
    room, left = MAX_BYTES, MAX_ENTRIES
    for key, value in entries.items():
        if key not in wanted or not _KEY.fullmatch(key) or not isinstance(value, str):
            continue
        entry = f"{key.replace('%', '%25')}={encoded(value)}"
        if len(entry) <= min(_MAX_ENTRY, room) and left:
            room -= len(entry) + 1
            left -= 1
            yield entry


def encoded(text: str) -> str:
    """Return `text` as it may stand in a header."""
    return quote(text, safe=_KEPT_AS_IS, errors="replace")


def decoded(text: str) -> str:
    """Return what `encoded` was given."""
    return unquote_to_bytes(text).decode("utf-8", "replace") if "%" in text else text
