"""What holds for the whole suite."""

from __future__ import annotations

import gc
import sys
import zlib
from collections.abc import Generator
from typing import Any

import pytest
from opentelemetry import context

# The longest files, each of which stays in one process: begun last, one would keep the other idle.
FIRST = (
    "docs/test_snippets_start.py",
    "audit/test_demo.py",
    "docs/test_snippets.py",
    "audit/test_audit_whole.py",
    "benchmarks/test_arms.py",
    "packaging/test_wheels.py",
    "chains/test_chains.py",
    "telemetry/test_broken.py",
    "sentry/test_sentry_table.py",
    "plugin/test_apps.py",
    "flask/test_flask_corpus.py",
    "starlette/test_starlette_corpus.py",
    "fuzz/test_fuzz.py",
    "soak/test_soak.py",
    "telemetry/test_http_names.py",
    "django/test_corpus.py",
    "boundaries/tenant/test_ten_million_ids.py",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--sample",
        type=int,
        default=1,
        metavar="N",
        help="run every Nth case of what is parametrised, chosen by its name; all that is not",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the longest files first, and thin out the tables where an interpreter runs a sample."""
    places = {f"tests/{name}": place for place, name in enumerate(FIRST)}
    items.sort(key=lambda item: places.get(item.nodeid.partition("::")[0], len(places)))
    every = config.getoption("--sample")
    left_out = [
        item
        for item in items
        if hasattr(item, "callspec") and zlib.crc32(item.nodeid.encode()) % every
    ]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        gone = set(map(id, left_out))
        items[:] = [item for item in items if id(item) not in gone]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep the garbage collector off the thousands of cases, now and whenever a test asks for it.

    A collection would take seconds, of which some tests ask for many.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


if sys.version_info < (3, 13):

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol() -> Generator[None, Any, Any]:
        """Let the collector come between two tests only, and what it sets be gone at the next.

        Where a request fails, stock leaves generators behind that set a context variable when they
        are collected; CPython 3.10 crashes if that happens while one is being set. 3.11 and 3.12
        fail to parse where it runs a finalizer that has a traceback formatted, gh-106905.
        """
        gc.disable()
        before = context.attach(context.Context())
        try:
            return (yield)
        finally:
            context.detach(before)
            gc.enable()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests have measured (`record_property("measured", ...)`), of every worker."""
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, ()):
            for name, value in report.user_properties:
                if name == "measured":
                    terminalreporter.write_line(value)


def encodable(data: Any) -> Any:
    """Copy plain `data` with lone surrogates written out as escapes."""
    if isinstance(data, str):
        return data.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(data, dict):
        return {encodable(key): encodable(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return type(data)(map(encodable, data))
    return data


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable(report: object) -> Generator[None, Any, Any]:
    """Let hostile strings through xdist: one in a captured log would end the whole run.

    What a test that passed has printed stays behind: it is a gigabyte that nobody reads.
    """
    if isinstance(report, pytest.TestReport) and report.passed:
        report.sections.clear()
    return encodable((yield))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Forget what a test has printed when it is over: a large heap is slow to collect."""
    report = yield
    if call.when == "teardown":
        item._report_sections.clear()
    return report
