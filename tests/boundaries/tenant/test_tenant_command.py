"""`everylayer tenant SPAN_ID`: the shard, and who has it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from everylayer import TenantIdGenerator, settings, use_tenant
from everylayer.cli import run

GIVEN = {"acme": 7, "globex": None, "initech": 7}


@pytest.fixture
def tenants(tmp_path: Path) -> str:
    path = tmp_path / "tenants.json"
    path.write_text(json.dumps(GIVEN))
    return str(path)


def an_id(name: str | None, **given: int) -> str:
    with use_tenant(name):
        return f"{TenantIdGenerator(given.get('shards', 4096), GIVEN).generate_span_id():016x}"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("acme", "shard 7 of 4096: acme or initech\n"),
        ("globex", "shard 932 of 4096: globex\n"),
        (None, "shard 0 of 4096: no tenant\n"),
    ],
)
def test_the_tenant_is_read_back(
    name: str | None, said: str, tenants: str, capsys: pytest.CaptureFixture[str]
) -> None:
    span_id = an_id(name)
    for written in (span_id, span_id.upper(), f"0x{span_id}", f"00-{'ab' * 16}-{span_id}-03"):
        assert run(["tenant", written, "--tenants", tenants]) == 0
        assert capsys.readouterr().out == said


def test_a_list_of_names_is_enough(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "names.json"
    path.write_text('["globex", "hooli"]')
    assert run(["tenant", an_id("globex"), "--tenants", str(path), "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == {"span_id": found["span_id"], "shard": 932, "tenants": ["globex"]}


def test_one_that_is_not_known_is_told(tenants: str, capsys: pytest.CaptureFixture[str]) -> None:
    span_id = an_id("hooli")
    assert run(["tenant", span_id]) == 0
    shard = int(span_id[:3], 16)
    assert capsys.readouterr().out == f"shard {shard} of 4096\n"
    assert run(["tenant", span_id, "--tenants", tenants]) == 1
    assert "none of the tenants that are known" in capsys.readouterr().out


def test_settings_are_its_defaults(
    tenants: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EVERYLAYER_TENANT_MAP", tenants)
    monkeypatch.setenv("EVERYLAYER_TENANT_SHARDS", "16")
    settings.reset()
    assert run(["tenant", an_id("acme", shards=16)]) == 0
    assert capsys.readouterr().out == "shard 7 of 16: acme or initech\n"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["xyz"], "no span id"),
        (["0" * 16], "no span id"),
        (["a" * 17], "no span id"),
        (["a" * 16, "--shards", "10"], "cannot be 10 shards"),
        (["a" * 16, "--tenants", "/nowhere.json"], "cannot be read"),
        (["a" * 16, "--tenants", "TENANTS", "--shards", "4"], "the shard of acme is 7"),
    ],
)
def test_what_cannot_be_read_is_2(
    args: list[str], said: str, tenants: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["tenant", *(tenants if arg == "TENANTS" else arg for arg in args)]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("text", ["{", "7", '{"a b": 1}', '{"acme": 0}', '{"acme": "1"}', "[1]"])
def test_a_file_of_something_else_is_refused(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "tenants.json"
    path.write_text(text)
    assert run(["tenant", "a" * 16, "--tenants", str(path)]) == 2
    assert "cannot be read" in capsys.readouterr().err
