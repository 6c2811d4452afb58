"""The commands `reveal` and `redact`."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from everylayer import Redaction
from everylayer.cli import cli, run
from everylayer.redaction import Keys

CARD = "4111111111111111"
ONE, TWO = bytes(range(32)), bytes(range(32, 64))
KEYS = f"k2={base64.b64encode(TWO).decode()}\nk1={base64.b64encode(ONE).decode()}\n"


def invoke(*args: str, **more: Any) -> Result:
    # Before Click 8.2 both streams were one unless it was told.
    told = {"mix_stderr": False} if "mix_stderr" in signature(CliRunner).parameters else {}
    return CliRunner(**told).invoke(cli, list(args), **more)


def token(value: str = CARD, action: str = "tokenise") -> str:
    pytest.importorskip("cryptography")
    policy = Redaction(actions={"*": action}, patterns={"any": "Z.+Z"}, keys=Keys({"k1": ONE}))
    return policy.redactor.redact(value)


@pytest.fixture
def keys(tmp_path: Path) -> str:
    (tmp_path / "keys").write_text(KEYS)
    return f"--keys={tmp_path / 'keys'}"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def entries(log: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


@pytest.mark.parametrize("action", ["tokenise", "tokenise-same"])
def test_a_token_is_read_from_its_argument_or_from_standard_input(
    action: str, keys: str, log: Path
) -> None:
    wanted = token(action=action)
    for found in (
        invoke("reveal", wanted, keys, f"--audit-log={log}"),
        invoke("reveal", "-", keys, input=f"{wanted}\n", env={"REDACTION_AUDIT_LOG": str(log)}),
        invoke(
            "reveal", wanted, f"--audit-log={log}",
            env={"REDACTION_KEYS": KEYS.strip().replace("\n", ",")},
        ),
    ):  # fmt: skip
        assert (found.exit_code, found.stdout) == (0, f"{CARD}\n"), found.output
    assert [entry["outcome"] for entry in entries(log)] == ["revealed"] * 3
    assert {entry["key"] for entry in entries(log)} == {"k1"}
    assert CARD not in log.read_text()


def test_what_is_refused_is_written_down_and_told(keys: str, log: Path, tmp_path: Path) -> None:
    wanted = token()
    (tmp_path / "other").write_text(KEYS.splitlines()[0])
    (tmp_path / "bad").write_text("k1=????")
    to_log = f"--audit-log={log}"
    cases = [
        (invoke("reveal", wanted, f"--keys={tmp_path / 'other'}", to_log), 1, "key 'k1'"),
        (invoke("reveal", CARD, keys, to_log), 1, "no token"),
        (invoke("reveal", wanted[:-9] + "AAAAAAAA]", keys, to_log), 1, "changed"),
        (invoke("reveal", wanted, f"--keys={tmp_path / 'bad'}", to_log), 2, "base64"),
        (invoke("reveal", wanted, f"--keys={tmp_path / 'absent'}", to_log), 2, "keys"),
        (invoke("reveal", wanted, to_log, env={"REDACTION_KEYS": ""}), 2, "--keys FILE"),
    ]
    for found, code, says in cases:
        assert (found.exit_code, found.stdout) == (code, ""), found.output
        assert says in found.stderr
        assert "Traceback" not in found.stderr
    written = entries(log)
    assert [entry["outcome"] for entry in written] == ["refused"] * len(cases)
    assert all(entry["reason"] and entry["user"] for entry in written)
    # A secret given in place of a token is not kept.
    assert CARD not in log.read_text()
    assert written[1]["token"] == ""


def test_without_token_or_log_nothing_is_revealed(keys: str, tmp_path: Path) -> None:
    wanted = token()
    absent = tmp_path / "absent" / "log"
    for found, says in (
        (invoke("reveal", wanted, keys), "--audit-log"),
        (invoke("reveal", wanted, keys, f"--audit-log={absent}"), "nothing is revealed"),
        (invoke("reveal", "-", keys, f"--audit-log={absent}", input=""), "standard input"),
    ):
        assert (found.exit_code, found.stdout) == (2, "")
        assert says in found.stderr


def test_a_terminal_is_not_sent_what_it_would_obey(
    keys: str, log: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = token("Z\x1b]0;owned\x07\ud800Z")
    assert run(["reveal", wanted, keys, f"--audit-log={log}"]) == 0
    assert capsys.readouterr().out == "Z\x1b]0;owned\x07\\ud800Z\n"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert run(["reveal", wanted, keys, f"--audit-log={log}"]) == 0
    assert capsys.readouterr().out == "Z\\x1b]0;owned\\x07\\ud800Z\n"


def test_a_dry_run_shows_rules_and_places_but_no_secret(tmp_path: Path) -> None:
    file = tmp_path / "errors.log"
    file.write_text(f"refused\n  card {CARD}\npassword=hunt3r2 [red]\n")
    found = invoke("redact", str(file), env={"COLUMNS": "200"})
    assert found.exit_code == 0
    for shown in (f"{file}:2:8", f"{file}:3:10", "card", "named", "[card]", "[secret]"):
        assert shown in found.stdout
    assert CARD not in found.stdout
    assert "hunt3r2" not in found.stdout
    assert "hunt3r2" in invoke("redact", str(file), "--show", env={"COLUMNS": "200"}).stdout


def test_a_dry_run_as_json_of_standard_input() -> None:
    text = f"card {CARD}, mail jane@example.com"
    found = json.loads(invoke("redact", "--json", input=text).stdout)
    assert [(each["rule"], each["replacement"]) for each in found] == [
        ("card", "[card]"),
        ("email", "[email]"),
    ]
    assert found[0] == {
        "source": "-", "line": 1, "column": 6, "rule": "card", "kind": "card",
        "start": 5, "end": 21, "replacement": "[card]",
    }  # fmt: skip
    shown = json.loads(invoke("redact", "--json", "--show", input=text).stdout)
    assert [each["value"] for each in shown] == [CARD, "jane@example.com"]
    assert json.loads(invoke("redact", "--json", input="all is well").stdout) == []
    assert "nothing" in invoke("redact", input="all is well").stdout


def test_a_dry_run_with_the_policy_of_the_settings_or_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("[patterns]\norder = 'ORD-\\d{6}'\n[actions]\ncard = \"off\"\n")
    text = f"ORD-123456 {CARD} 10.1.2.3"

    def rules(*args: str) -> list[str]:
        return [
            each["rule"]
            for each in json.loads(invoke("redact", "--json", *args, input=text).stdout)
        ]

    assert rules() == ["card"]
    assert rules("--policy=strict") == ["card", "ip"]
    if sys.version_info >= (3, 11):
        assert rules(f"--policy={policy}") == ["order"]
        monkeypatch.setenv("EVERYLAYER_REDACTION", str(policy))
        from everylayer import settings

        settings.reset()
        assert rules() == ["order"]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--policy=off"], "--policy"),
        (["--policy=lax"], "lax"),
        (["--policy=absent.toml"], "absent.toml"),
        (["absent.log"], "absent.log"),
    ],
)
def test_a_dry_run_that_cannot_be_done_says_why(args: list[str], says: str) -> None:
    found = invoke("redact", *args, input=CARD)
    assert (found.exit_code, found.stdout) == (2, "")
    assert says in found.stderr
    assert "Traceback" not in found.stderr


def test_the_command_in_a_process_of_its_own(keys: str, log: Path) -> None:
    wanted = token()
    command = [sys.executable, "-m", "everylayer", "reveal", "-", keys, f"--audit-log={log}"]
    done = subprocess.run(
        command, input=wanted, capture_output=True, text=True, timeout=60, env={**os.environ}
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{CARD}\n", "")
    assert entries(log)[0]["outcome"] == "revealed"
