"""Which suites are run, how, and the differences that are known: each with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Suite:
    """One distribution's own tests.

    Attributes:
        distribution: its name on the index; the version is the one installed.
        switch: what of `inside/upstream_arm.py` switches everylayer on.
        take: what is unpacked of the source distribution.
        plugins: pytest plugins that the suite needs; no other one is loaded.
        arguments: further ones of the runner.
        left_out: what `arguments` keep from running in either arm -> why.
        known: test id -> why it may come out differently with everylayer.
    """

    distribution: str
    switch: str
    runner: Literal["pytest", "django"] = "pytest"
    take: tuple[str, ...] = ("tests", "pyproject.toml")
    plugins: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    known: Mapping[str, str] = field(default_factory=dict)


DJANGO = (
    "asgi",
    "async",
    "builtin_server",
    "csrf_tests",
    "handlers",
    "httpwrappers",
    "logging_tests",
    "messages_tests",
    "middleware",
    "middleware_exceptions",
    "requests_tests",
    "responses",
    "servers",
    "sessions_tests",
    "signals",
    "test_client",
    "test_client_regress",
    "urlpatterns",
    "view_tests",
    "wsgi",
)

SUITES = (
    Suite("starlette", "starlette", plugins=("anyio",)),
    Suite("flask", "flask"),
    Suite("django", "django", runner="django", take=("tests",), arguments=DJANGO),
    Suite("opentelemetry-instrumentation-wsgi", "wsgi"),
    Suite("opentelemetry-instrumentation-asgi", "asgi"),
    Suite("opentelemetry-instrumentation-flask", "flask"),
    Suite("opentelemetry-instrumentation-django", "django"),
    Suite("opentelemetry-instrumentation-starlette", "starlette"),
    Suite("opentelemetry-instrumentation-fastapi", "starlette"),
    Suite(
        "werkzeug",
        "werkzeug",
        plugins=("timeout",),
        arguments=("-m", "not dev_server"),
        left_out={"-m dev_server": "its apps run in processes of their own, where nothing is on"},
    ),
    Suite("djangorestframework", "django", plugins=("django",)),
    Suite(
        "fastapi",
        "starlette",
        take=("tests", "docs_src", "scripts", "docs", "pyproject.toml"),
        plugins=("anyio", "timeout", "xdist", "inline_snapshot", "codspeed"),
        arguments=("--inline-snapshot=disable",),
    ),
)
