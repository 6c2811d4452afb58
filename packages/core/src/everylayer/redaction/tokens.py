"""Tokens: a secret that only the holders of a key can read, from `everylayer[redaction]`.

`tok1.KEY_ID.MODE.DATA`: mode `g` is AES-GCM with a nonce of its own, so that equal values have
different tokens; `s` is AES-SIV, where they have the same. The kind of secret is sealed in it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
from collections.abc import Callable

from ..settings import SettingsError
from .keys import KeyProvider, TokenError, current_of

try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV
except ImportError:
    raise SettingsError(
        "everylayer redaction: tokens need the extra everylayer[redaction]."
    ) from None

_NONCE = 12
_TOKEN = re.compile(r"tok1\.(?P<key>[A-Za-z0-9_-]{1,32})\.(?P<mode>[gs])\.(?P<data>[A-Za-z0-9_-]+)")


def action(keys: KeyProvider, *, same: bool) -> Callable[[str, str], str]:
    """Return the action that puts a token in the place of a value.

    Args:
        keys: their current key seals.
        same: equal values get equal tokens.

    Raises:
        SettingsError: the current key is of no use.
    """
    current_of(keys)

    def replace(kind: str, value: str) -> str:
        return f"[{kind}:{seal(kind, value, keys, same=same)}]"

    return replace


def seal(kind: str, value: str, keys: KeyProvider, *, same: bool) -> str:
    """Return the token of `value`."""
    key_id, key = current_of(keys)
    data = f"{kind}\0{value}".encode("utf-8", "surrogatepass")
    if same:
        sealed = AESSIV(_derived(key, b"siv", 64)).encrypt(data, [_bound(key_id, "s")])
        mode = "s"
    else:
        nonce = os.urandom(_NONCE)
        mode = "g"
        sealed = nonce + AESGCM(_derived(key, b"gcm", 32)).encrypt(nonce, data, _bound(key_id, "g"))
    return f"tok1.{key_id}.{mode}.{base64.urlsafe_b64encode(sealed).decode().rstrip('=')}"


def unseal(token: str, keys: KeyProvider) -> tuple[str, str, str]:
    """Return kind, value and key id of a token, which may stand in its brackets.

    Raises:
        TokenError: it cannot be read.
    """
    found = _TOKEN.search(token)
    if found is None:
        raise TokenError("this is no token of everylayer")
    key_id, mode, data = found["key"], found["mode"], found["data"]
    key = keys.get(key_id)
    if key is None:
        raise TokenError(f"key {key_id!r} is not among the keys given")
    try:
        sealed = base64.urlsafe_b64decode(data + "=" * (-len(data) % 4))
        if mode == "s":
            opened = AESSIV(_derived(key, b"siv", 64)).decrypt(sealed, [_bound(key_id, "s")])
        else:
            gcm = AESGCM(_derived(key, b"gcm", 32))
            opened = gcm.decrypt(sealed[:_NONCE], sealed[_NONCE:], _bound(key_id, "g"))
    except (InvalidTag, binascii.Error, ValueError):
        raise TokenError("the token was changed, or is of another key of the same id") from None
    kind, _, value = opened.decode("utf-8", "surrogatepass").partition("\0")
    return kind, value, key_id


def _bound(key_id: str, mode: str) -> bytes:
    return f"everylayer tok1 {key_id} {mode}".encode()


def _derived(key: bytes, purpose: bytes, size: int) -> bytes:
    """Return a key for one mode alone: HKDF-Expand with SHA-256 (RFC 5869)."""
    block = b""
    output = b""
    for counter in range(1, size // 32 + 1):
        info = b"everylayer redaction " + purpose + bytes([counter])
        block = hmac.new(key, block + info, hashlib.sha256).digest()
        output += block
    return output
