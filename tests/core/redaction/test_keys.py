"""Where keys come from, and what a rotation leaves readable."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import everylayer
from everylayer import Redaction, SettingsError, settings
from everylayer.redaction import KeyProvider, Keys, TokenError, from_environment, from_file

CARD = "4111111111111111"
ONE, TWO = bytes(range(32)), bytes(range(32, 64))
DOCS = Path(__file__).parents[3] / "docs" / "redaction.md"


class Kms:
    """A stand-in: wraps data keys with a master key that never leaves it."""

    def __init__(self) -> None:
        aead = pytest.importorskip("cryptography.hazmat.primitives.ciphers.aead")
        self._master = aead.AESGCM(os.urandom(32))
        self.calls = 0

    def encrypt(self, key: bytes) -> bytes:
        nonce = os.urandom(12)
        wrapped: bytes = nonce + self._master.encrypt(nonce, key, None)
        return wrapped

    def decrypt(self, data: bytes) -> bytes:
        self.calls += 1
        key: bytes = self._master.decrypt(data[:12], data[12:], None)
        return key


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def written(keys: dict[str, bytes], sign: str) -> str:
    return sign.join(f"{name}={base64.b64encode(key).decode()}" for name, key in keys.items())


def by_file(keys: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeyProvider:
    (tmp_path / "keys").write_text("# of the shop\n" + written(keys, "\n") + "\n")
    return from_file(tmp_path / "keys")


def by_environment(
    keys: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> KeyProvider:
    monkeypatch.setenv("SHOP_KEYS", written(keys, ", "))
    return from_environment("SHOP_KEYS")


def in_memory(
    keys: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> KeyProvider:
    return Keys(keys)


@pytest.mark.parametrize("action", ["tokenise", "tokenise-same"])
@pytest.mark.parametrize("source", [by_file, by_environment, in_memory])
def test_a_rotation_keeps_old_tokens_readable(
    source: Callable[..., KeyProvider],
    action: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    log: Path,
) -> None:
    pytest.importorskip("cryptography")

    def token(keys: KeyProvider) -> str:
        return Redaction(actions={"card": action}, keys=keys).redactor.redact(CARD)

    before = source({"k1": ONE}, tmp_path, monkeypatch)
    old = token(before)
    rotated = source({"k2": TWO, "k1": ONE}, tmp_path, monkeypatch)
    new = token(rotated)
    assert isinstance(rotated, KeyProvider)
    assert (".k1." in old, ".k2." in new) == (True, True)
    assert [everylayer.reveal(each, rotated, audit_log=log) for each in (old, new)] == [CARD] * 2
    with pytest.raises(TokenError, match="k2"):
        everylayer.reveal(new, before, audit_log=log)
    # The same id, another key: a token tells.
    with pytest.raises(TokenError, match="another key"):
        everylayer.reveal(old, Keys({"k1": TWO}), audit_log=log)


def test_the_documented_kms_works_and_rotates_while_the_app_runs(log: Path) -> None:
    (code,) = re.findall(r"```python\n(class KmsKeys:.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    kms = Kms()
    space: dict[str, Any] = {
        "Kms": Kms, "kms": kms, "everylayer": everylayer, "wrapped": {"k1": kms.encrypt(ONE)},
    }  # fmt: skip
    exec(code, space)
    policy = settings.current().redaction
    assert policy is space["policy"]
    keys: Any = policy.keys
    old = policy.redactor.redact(CARD)
    keys.rotate("k2", kms.encrypt(TWO))
    new = policy.redactor.redact(CARD)
    assert (".k1." in old, ".k2." in new) == (True, True)
    assert everylayer.reveal(old, keys, audit_log=log) == CARD
    assert everylayer.reveal(new, keys, audit_log=log) == CARD
    # Once a key, at the start and at the rotation, and never for an error.
    assert kms.calls == 2


class Provider:
    def __init__(self, key_id: Any = "k1", key: Any = ONE) -> None:
        self._now: tuple[Any, Any] = (key_id, key)
        self.down = False

    def current(self) -> tuple[str, bytes]:
        if self.down:
            raise ConnectionError("the KMS is down")
        return self._now

    def get(self, key_id: str) -> bytes | None:
        if self.down:
            raise ConnectionError(f"the KMS is down, {CARD}")
        key: bytes = self._now[1]
        return key


@pytest.mark.parametrize("action", ["hash", "tokenise", "tokenise-same"])
@pytest.mark.parametrize(
    "keys",
    [Provider(key=ONE[:16]), Provider(key="x" * 32), Provider("k.1"), Provider(None), Provider("")],
)
def test_a_provider_whose_tokens_nobody_could_read_stops_the_start(action: str, keys: Any) -> None:
    pytest.importorskip("cryptography")
    with pytest.raises(SettingsError, match="key"):
        Redaction(actions={"card": action}, keys=keys)


def test_what_is_no_provider_stops_the_start() -> None:
    for given in (object(), {"k1": ONE}, ONE):
        with pytest.raises(SettingsError, match="current"):
            Redaction(keys=given)  # type: ignore[arg-type]


def test_a_provider_that_fails_drops_the_text_and_is_written_down(
    log: Path, failures: dict[str, int]
) -> None:
    pytest.importorskip("cryptography")
    keys = Provider()
    redactor = Redaction(actions={"card": "tokenise"}, keys=keys).redactor
    token, _ = redactor.bounded(CARD, 100)
    keys.down = True
    assert redactor.bounded(CARD, 100) == ("[redaction failed]", 0)
    assert failures["everylayer.redaction"] == 1
    with pytest.raises(ConnectionError):
        everylayer.reveal(token, keys, audit_log=log)
    assert '"reason": "ConnectionError"' in log.read_text()
    assert CARD not in log.read_text()
