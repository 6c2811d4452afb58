"""The programs of docs/migrate are run with an app that fails everywhere; the tables are theirs."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pages import blocks, rows, section, text_of

HERE = Path(__file__).parent
PAGES = ("from-stock", "from-sentry", "from-ddtrace")
Answer = dict[str, Any]


class Program(NamedTuple):
    """What a program of a page has left, run with the failing app."""

    paths: dict[str, Answer]
    sends: list[str]


# Name -> page, heading, variables.
ARMS: dict[str, tuple[str, str, str]] = {
    "stock": ("from-stock", "Before", ""),
    "everylayer": ("from-stock", "After", ""),
    "switched off": ("from-stock", "After", "EVERYLAYER_ENABLED=false"),
    "sentry": ("from-sentry", "Before", ""),
    "sentry after": ("from-sentry", "After", ""),
    "otlp": ("from-sentry", "Before, with it", ""),
    "otlp after": ("from-sentry", "After, with it", ""),
    "datadog": ("from-ddtrace", "After", ""),
}


def run(folder: Path, arms: Mapping[str, tuple[str, str, str]]) -> dict[str, Program]:
    """Run each program in a process of its own."""
    command: list[str] = [sys.executable, str(HERE / "migration_run.py")]
    files = {}
    for number, (name, (page, heading, variables)) in enumerate(arms.items()):
        (code,) = blocks(section(text_of(f"migrate/{page}.md"), heading), "python")
        files[name] = folder / f"shop{number}.py"
        files[name].write_text(code, encoding="utf-8")
        command += ["--"] if number else []
        command += [str(files[name]), *variables.split()]
    done = subprocess.run(
        command, env={**clean(os.environ), **QUIET}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    said = {name: json.loads(file.with_suffix(".json").read_text()) for name, file in files.items()}
    return {name: Program(found["paths"], found["sends"]) for name, found in said.items()}


# Nothing is to leave, and nothing to wait for an agent that is not there.
QUIET = {
    "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
    "DD_REMOTE_CONFIGURATION_ENABLED": "false",
    "DD_TRACE_AGENT_URL": "http://127.0.0.1:9",
    "DD_TRACE_STARTUP_LOGS": "false",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
}


def clean(variables: Mapping[str, str]) -> dict[str, str]:
    ours = ("EVERYLAYER_", "OTEL_", "DD_", "SENTRY_")
    return {name: value for name, value in variables.items() if not name.startswith(ours)}


# Later than the oldest Sentry that everylayer takes.
OTLP = importlib.util.find_spec("sentry_sdk.integrations.otlp") is not None
needs_otlp = pytest.mark.skipif(not OTLP, reason="this sentry-sdk has no OTLPIntegration")


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Program]:
    there = {name: arm for name, arm in ARMS.items() if OTLP or not name.startswith("otlp")}
    return run(tmp_path_factory.mktemp("migrate"), there)


# What a cell of a table says


def on_spans(answer: Answer) -> str:
    errors = answer["errors"]
    if not errors:
        return "no"
    (one,) = errors
    if one["span"].endswith("(late)"):
        assert one["status"] == "ERROR"
        return "late span"
    assert one["kind"] == "SERVER"
    if one["handled"]:
        assert one["status"] == "UNSET"
        return "handled"
    return str(one["status"])


def on_sentry(answer: Answer) -> str:
    if not answer["sentry"]:
        return "no"
    (one,) = answer["sentry"]
    return "handled" if one["handled"] else "yes"


def on_datadog(answer: Answer) -> str:
    spans = answer["ddtrace"]
    whole = [all(span[f"error.{x}"] for x in ("type", "message", "stack")) for span in spans]
    if not spans:
        return "no trace"
    if any(span["entry"] and found for span, found in zip(spans, whole, strict=True)):
        return "entry span"
    return "child spans" if any(whole) else "no"


def table(page: str, heading: str) -> dict[str, list[str]]:
    part = section(text_of(f"migrate/{page}.md"), heading)
    found = {row[0].strip("`/"): row[2:] for row in rows(part)}
    assert len(found) == 7
    return found


def column(number: int, cells: dict[str, list[str]]) -> dict[str, str]:
    return {path: row[number] for path, row in cells.items()}


def seen(program: Program, how: Callable[[Answer], str]) -> dict[str, str]:
    return {path: how(answer) for path, answer in program.paths.items()}


# The tables


def test_from_stock(programs: dict[str, Program]) -> None:
    cells = table("from-stock", "What arrives")
    assert column(0, cells) == seen(programs["stock"], on_spans)
    assert column(1, cells) == seen(programs["everylayer"], on_spans)


def test_switched_off_it_is_as_before(programs: dict[str, Program]) -> None:
    off = {path: answer["errors"] for path, answer in programs["switched off"].paths.items()}
    before = {path: answer["errors"] for path, answer in programs["stock"].paths.items()}
    for errors in (*off.values(), *before.values()):
        for error in errors:
            del error["trace_id"]
    assert off == before


def test_from_sentry(programs: dict[str, Program]) -> None:
    cells = table("from-sentry", "What arrives")
    assert column(0, cells) == seen(programs["sentry"], on_sentry)
    assert column(1, cells) == seen(programs["sentry after"], on_sentry)
    assert column(2, cells) == seen(programs["sentry after"], on_spans)


@needs_otlp
def test_from_sentry_with_its_integration(programs: dict[str, Program]) -> None:
    cells = table("from-sentry", "What arrives, with it")
    assert column(0, cells) == seen(programs["otlp"], on_sentry)
    assert column(1, cells) == seen(programs["otlp"], on_spans)
    assert column(2, cells) == seen(programs["otlp after"], on_sentry)
    assert column(3, cells) == seen(programs["otlp after"], on_spans)


def test_no_migration_changes_a_response(programs: dict[str, Program]) -> None:
    answers = [
        {path: answer["status"] for path, answer in program.paths.items()}
        for program in programs.values()
    ]
    assert all(one == answers[0] for one in answers)


@pytest.mark.parametrize("name", ["sentry after", pytest.param("otlp after", marks=needs_otlp)])
def test_events_and_spans_name_each_other(name: str, programs: dict[str, Program]) -> None:
    for path, answer in programs[name].paths.items():
        (error,), (event,) = answer["errors"], answer["sentry"]
        assert error["sentry"] == event["id"], path
        assert error["trace_id"] == event["trace_id"], path


@needs_otlp
def test_the_propagator_of_the_integration_is_what_costs_the_trace(
    programs: dict[str, Program],
) -> None:
    assert "traceparent" not in programs["otlp"].sends
    assert "traceparent" in programs["otlp after"].sends
    assert "traceparent" in programs["sentry after"].sends


def test_from_ddtrace_after(programs: dict[str, Program]) -> None:
    cells = table("from-ddtrace", "What arrives")
    assert column(1, cells) == seen(programs["datadog"], on_spans)


@pytest.mark.skipif(
    importlib.util.find_spec("ddtrace") is None, reason="python -m nox -s migrations has ddtrace"
)
def test_from_ddtrace_before(tmp_path: Path) -> None:
    program = run(tmp_path, {"ddtrace": ("from-ddtrace", "Before", "")})["ddtrace"]
    cells = table("from-ddtrace", "What arrives")
    assert column(0, cells) == seen(program, on_datadog)


@pytest.mark.parametrize("page", PAGES)
def test_numbers_in_the_text_are_those_of_the_tables(page: str) -> None:
    text = text_of(f"migrate/{page}.md")
    if page == "from-ddtrace":
        cells = table(page, "What arrives")
        before, after = (list(column(n, cells).values()) for n in (0, 1))
        assert before.count("entry span") == 1
        assert after.count("ERROR") == 5
        return
    cells = table(page, "What arrives")
    before, after = (7 - list(column(n, cells).values()).count("no") for n in (0, 1))
    assert f"from {before} to {after}" in text


@pytest.mark.parametrize("page", PAGES)
def test_each_page_says_all_that_is_asked(page: str) -> None:
    text = text_of(f"migrate/{page}.md")
    for heading in (
        "What to remove, what to keep",
        "What changes in alerts and dashboards",
        "How to roll back",
        "Check",
    ):
        assert section(text, heading).strip()
    assert re.search(r"^\$ everylayer audit shop:app", section(text, "Check"), re.MULTILINE)
