"""Policies, patterns of the user's, actions, tokens, and reading them back."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

import pytest

import everylayer
from everylayer import Redaction, Settings, SettingsError, settings
from everylayer.redaction import Keys, RevealError, from_environment, from_file

CARD = "4111111111111111"
ONE, TWO = bytes(range(32)), bytes(range(32, 64))


def test_a_dry_run_tells_what_would_be_masked() -> None:
    (found,) = Redaction().dry_run(f"card {CARD} declined")
    assert (found.rule, found.start, found.end, found.replacement) == ("card", 5, 21, "[card]")


@pytest.mark.parametrize("given", ["nothing", "absent.toml", ""])
def test_a_setting_that_is_no_policy_stops_the_start(given: str) -> None:
    with pytest.raises(SettingsError, match="redaction"):
        Settings(redaction=given)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"preset": "lax"}, "lax"),
        ({"actions": {"crad": "mask"}}, "crad"),
        ({"actions": {"card": "burn"}}, "burn"),
        ({"actions": {"card": "tokenise"}}, "keys"),
        ({"national_ids": ["xx"]}, "xx"),
        ({"patterns": {"mine": "("}}, "mine"),
        ({"patterns": {"mine": "a*"}}, "mine"),
        ({"patterns": {"mine": "(a+)+$"}}, "mine"),
        ({"patterns": {"mine": "(?:a|aa)+$"}}, "mine"),
        ({"patterns": {"mine": "a+a+a+b"}}, "mine"),
        ({"patterns": {"mine": r"foo\d+\d+\d+x"}}, "mine"),
        ({"patterns": {"mine": r"(a)\1b"}}, "mine"),
        ({"patterns": {"card": "x"}}, "card"),
        ({"allow": "x"}, "allow"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(given: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        Redaction(**given)


def test_patterns_names_and_allowed_values_of_the_user() -> None:
    policy = Redaction(
        patterns={"order": r"ORD-(?P<value>\d{6})"},
        names=["loyalty code"],
        allow=["qa@example.com", "4242 4242 4242 4242"],
    )
    text = f"ORD-123456 loyalty_code=abc qa@example.com 4242424242424242 {CARD}"
    shown = "ORD-[order] loyalty_code=[secret] qa@example.com 4242424242424242 [card]"
    assert policy.redactor.redact(text) == shown


def test_actions_by_rule() -> None:
    policy = Redaction(actions={"card": "drop", "email": "hash", "phone": "off"})
    text = f"<{CARD}> a@b.de a@b.de c@b.de +14155552671"
    first, second, third = policy.redactor.redact(text).split()[1:4]
    assert policy.redactor.redact(text).startswith("<> [email#")
    assert first == second != third
    assert policy.redactor.redact(text).endswith("+14155552671")


def test_a_policy_from_a_file(tmp_path: Path) -> None:
    if sys.version_info < (3, 11):
        pytest.importorskip("tomli")
    file = tmp_path / "redaction.toml"
    file.write_text('preset = "finance"\nnames = ["loyalty"]\n[actions]\nemail = "drop"\n')
    assert Settings(redaction=str(file)).redaction == str(file)
    file.write_text('presets = "finance"\n')
    settings.reset()
    with pytest.raises(SettingsError, match="presets"):
        Settings(redaction=str(file))


def test_keys_are_checked_and_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = base64.b64encode(ONE).decode()
    monkeypatch.setenv("REDACTION_KEYS", f"k2={base64.b64encode(TWO).decode()},k1={good}")
    keys = from_environment()
    assert keys.current() == ("k2", TWO)
    assert keys.get("k1") == ONE
    assert good not in repr(keys)
    for text in ("", "k1=abc", f"k 1={good}", "k1=!!"):
        (tmp_path / "keys").write_text(text)
        with pytest.raises(SettingsError):
            from_file(tmp_path / "keys")


@pytest.mark.parametrize("action", ["tokenise", "tokenise-same"])
def test_a_token_is_read_back_after_a_rotation(action: str, tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    policy = Redaction(actions={"card": action}, keys=Keys({"k1": ONE}))
    first, second = (policy.redactor.redact(f"card {CARD}")[5:] for _ in range(2))
    assert (first == second) is (action == "tokenise-same")
    assert ".k1." in first
    assert CARD not in first
    log = tmp_path / "audit.jsonl"
    rotated = Keys({"k2": TWO, "k1": ONE})
    assert everylayer.reveal(first, rotated, audit_log=log) == CARD
    changed = first[:-6] + ("AAAA" if first[-6:-2] != "AAAA" else "BBBB") + first[-2:]
    for keys, token in ((Keys({"k2": TWO}), first), (rotated, changed), (rotated, "tok")):
        with pytest.raises(ValueError, match=r"token|key"):
            everylayer.reveal(token, keys, audit_log=log)
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    assert [entry["outcome"] for entry in entries] == ["revealed", *["refused"] * 3]
    assert CARD not in log.read_text()
    assert log.stat().st_mode & 0o077 == 0


def test_without_an_audit_log_nothing_is_revealed(tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    policy = Redaction(actions={"card": "tokenise"}, keys=Keys({"k1": ONE}))
    token = policy.redactor.redact(CARD)
    with pytest.raises(RevealError):
        everylayer.reveal(token, Keys({"k1": ONE}), audit_log=tmp_path / "absent" / "log")
