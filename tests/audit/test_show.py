"""The command `show`, called as a user calls it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import click
import pytest
import sample_reports
from click.testing import CliRunner, Result

from everylayer.audit.model import to_json
from everylayer.audit.report.page import render
from everylayer.cli import cli

TRACE = {
    "resourceSpans": [
        {"scopeSpans": [{"spans": [{"traceId": "ab" * 16, "spanId": "cd" * 8, "name": "GET /x"}]}]}
    ]
}


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What would have been opened in the browser."""
    addresses: list[str] = []
    monkeypatch.setattr(click, "launch", addresses.append)
    return addresses


def run(*arguments: object, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(cli, ["show", *map(str, arguments)], input=stdin)


def saved(folder: Path, value: object = TRACE) -> Path:
    file = folder / "trace.json"
    file.write_text(json.dumps(value), encoding="utf-8")
    return file


def test_a_trace_file_becomes_a_page_and_is_opened(tmp_path: Path, opened: list[str]) -> None:
    result = run(saved(tmp_path))
    assert result.exit_code == 0, result.output
    page = Path(result.output.strip())
    assert opened == [page.as_uri()]
    text = page.read_text(encoding="utf-8")
    page.unlink()
    assert "GET /x" in text
    assert '"name":"trace.json"' in text


@pytest.mark.parametrize(("flag", "times"), [(None, 0), ("--open", 1), ("--no-open", 0)])
def test_a_page_that_is_asked_for_is_opened_only_on_demand(
    tmp_path: Path, opened: list[str], flag: str | None, times: int
) -> None:
    page = tmp_path / "page.html"
    result = run(saved(tmp_path), "--output", page, *([flag] if flag else []))
    assert result.exit_code == 0, result.output
    assert "GET /x" in page.read_text(encoding="utf-8")
    assert opened == [page.as_uri()] * times


def test_standard_input_and_output_are_dashes(opened: list[str]) -> None:
    result = run("-", "--output", "-", stdin=gzip.compress(json.dumps(TRACE).encode()))
    assert result.exit_code == 0
    assert result.stdout_bytes.startswith(b"<!doctype html>")
    assert b"GET /x" in result.stdout_bytes
    assert opened == []


@pytest.mark.parametrize("name", ["small", "hostile", "empty"])
def test_a_saved_report_becomes_the_page_of_the_audit(tmp_path: Path, name: str) -> None:
    report = getattr(sample_reports, name)()
    result = run(saved(tmp_path, to_json(report)), "--output", "-")
    assert result.exit_code == 0
    assert result.stdout_bytes.decode() == render(report)


def changed(path: str, value: object) -> object:
    report = to_json(sample_reports.small())
    *steps, last = path.split(".")
    target = report
    for step in steps:
        target = target[int(step)] if isinstance(target, (list, tuple)) else target[step]
    target[last] = value
    return json.loads(json.dumps(report))


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("schema", 99, "its schema is 99"),
        ("chain", {}, "its report.chain is not a list"),
        ("chain.0.name", None, "its report.chain.name makes no sense"),
        ("chain.1.phases", ["later"], "its report.chain.phases makes no sense"),
        ("rows.0.fault", {}, "its report.rows.fault.node is missing"),
        ("rows.0.bare.size", 10**400, "its report.rows.bare.size makes no sense"),
        ("rows.0.bare.size", True, "its report.rows.bare.size makes no sense"),
        ("rows.0.bare.headers", [["a"]], "has another length than 2"),
        ("rows.0.verdicts", [], "its report.rows.verdicts makes no sense"),
        ("rows.0.verdicts.stock", 1, "its report.rows.verdicts.stock is not an object"),
        ("seconds", "long", "its report.seconds makes no sense"),
    ],
)
def test_a_report_that_makes_no_sense_is_refused(
    tmp_path: Path, path: str, value: object, sentence: str
) -> None:
    result = run(saved(tmp_path, changed(path, value)), "--output", "-")
    assert result.exit_code == 2
    assert sentence in result.output
    assert result.output.count("\n") == 1


def test_fields_of_a_later_version_are_passed_over(tmp_path: Path) -> None:
    result = run(saved(tmp_path, changed("later", {"x": 1})), "--output", "-")
    assert result.stdout_bytes.decode() == render(sample_reports.small())


@pytest.mark.parametrize("content", [b"", b"\x00" * 9, b"[" * 99_999, b"{}", b'{"schema": NaN'])
def test_what_cannot_be_read_is_one_sentence_and_exit_2(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "trace.json"
    file.write_bytes(content)
    result = run(file)
    assert result.exit_code == 2
    assert result.output.startswith(f"everylayer: {file} cannot be shown: ")
    assert result.output.count("\n") == 1


def test_a_file_that_is_not_there_or_a_folder_is_refused(tmp_path: Path) -> None:
    for file in (tmp_path / "none.json", tmp_path):
        result = run(file)
        assert result.exit_code == 2
        assert "cannot be shown" in result.output
        assert result.output.count("\n") == 1


def test_the_file_to_show_is_never_written_over(tmp_path: Path) -> None:
    file = saved(tmp_path)
    before = file.read_bytes()
    result = run(file, "--output", file)
    assert result.exit_code == 2
    assert "is the file to show" in result.output
    assert file.read_bytes() == before


def test_a_page_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    result = run(saved(tmp_path), "--output", tmp_path / "no" / "page.html")
    assert result.exit_code == 2
    assert result.output.startswith("everylayer: the page cannot be written")
