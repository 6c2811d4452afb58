"""What the start of an app pays: for redaction, and for everything else that it may not need."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Dear to load, or dear to have: threads, sockets, and what only an error, a key or a job asks for.
_HEAVY = {
    "asyncio", "base64", "bz2", "concurrent.futures", "csv", "ctypes", "decimal", "difflib",
    "email", "fractions", "hashlib", "hmac", "html", "http", "json", "lzma", "multiprocessing",
    "pathlib", "pickle", "queue", "random", "secrets", "selectors", "shutil", "socket", "sqlite3",
    "ssl", "statistics", "subprocess", "tarfile", "tempfile", "tomllib", "unittest",
    "urllib.request", "uuid", "xml", "zipfile",
}  # fmt: skip
_OF_DJANGO = "opentelemetry.instrumentation.asgi, opentelemetry.instrumentation.instrumentor"
# What is loaded at each step, and what others load for it: no more than that may come with it.
_STEPS = (
    ("core", "opentelemetry.trace", "everylayer"),
    ("settings", "opentelemetry.trace", "everylayer;everylayer.Settings()"),
    ("seams", "opentelemetry.instrumentation.utils", "everylayer.asgi, everylayer.wsgi"),
    ("starlette", "starlette.applications", "everylayer_starlette.middleware"),
    (
        "flask",
        "flask, opentelemetry.instrumentation.wsgi",
        "everylayer_flask.extension",
    ),
    (
        "django",
        "django.core.handlers.asgi, django.core.handlers.wsgi, " + _OF_DJANGO,
        "everylayer_django.middleware",
    ),
)
_CODE = """
import sys
from ast import literal_eval
for step, others, ours in literal_eval(sys.argv[1]):
    try:
        exec("import " + others)
    except ImportError:
        continue
    before = set(sys.modules)
    exec("import " + ours)
    print(step, *sorted(set(sys.modules) - before))
import everylayer
assert everylayer.sensitive is everylayer.redaction.sensitive
assert callable(everylayer.reveal)
assert callable(everylayer.redaction.reveal)
"""


@pytest.fixture(scope="module")
def loaded() -> dict[str, set[str]]:
    """Step of an app's start -> the modules that it alone has loaded."""
    done = subprocess.run(
        [sys.executable, "-c", _CODE, repr(_STEPS)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return {step: set(rest) for step, *rest in map(str.split, done.stdout.splitlines())}


def test_importing_loads_no_policy(loaded: dict[str, set[str]]) -> None:
    assert {name for name in loaded["core"] if name.startswith("everylayer.redaction")} == {
        "everylayer.redaction",
        "everylayer.redaction.earlier",
        "everylayer.redaction.values",
    }
    assert "everylayer.redaction.guard" in loaded["settings"]


def test_no_step_of_a_start_loads_what_is_heavy(loaded: dict[str, set[str]]) -> None:
    assert {"core", "settings", "seams"} <= set(loaded)
    assert all(any(name.startswith("everylayer") for name in names) for names in loaded.values())
    assert {step: names & _HEAVY for step, names in loaded.items() if names & _HEAVY} == {}


def test_boundaries_that_an_app_may_never_ask_for_are_not_loaded(
    loaded: dict[str, set[str]],
) -> None:
    asked_for = {
        f"everylayer.boundaries.{name}"
        for name in ("away", "guards", "pools", "process_pool", "processes", "shards", "tasks")
    } | {"everylayer.remote", "everylayer.sinks.sentry.link", "everylayer.sinks.sentry.capture"}
    assert asked_for.isdisjoint(set().union(*loaded.values()))
