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


OWN_SPAN = "stock makes no span here on purpose, and where none is active everylayer makes its own"
ATTRIBUTES = "the span has `error.type`, the exception's, and `everylayer.layer.name` too"

TYPE = "`error.type` is the exception's type, not the status that it led to"
EVENTS = "FastAPI's own telemetry puts no error event on a span; the one found is everylayer's"
_ASGI = "tests/test_asgi_middleware.py"
_DJANGO = "tests/test_middleware.py"
_FLASK = "tests/test_programmatic.py"
_NATIVE = "tests/test_telemetry"
_WSGI = "tests/test_wsgi_middleware.py"

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
    Suite(
        "opentelemetry-instrumentation-wsgi",
        "wsgi",
        known={
            f"{_WSGI}::TestWsgiMiddlewareWithTracerProvider::test_no_op_tracer_provider": OWN_SPAN
        },
    ),
    Suite(
        "opentelemetry-instrumentation-asgi",
        "asgi",
        known={
            f"{_ASGI}::TestAsgiApplication::test_excluded_urls": OWN_SPAN,
            f"{_ASGI}::TestAsgiApplication::test_no_op_tracer_provider_otel_asgi": OWN_SPAN,
        },
    ),
    Suite(
        "opentelemetry-instrumentation-flask",
        "flask",
        known={
            "tests/test_automatic.py::TestAutomatic::test_uninstrument": OWN_SPAN,
            f"{_FLASK}::TestProgrammatic::test_uninstrument_app": OWN_SPAN,
            f"{_FLASK}::TestProgrammatic::test_uninstrument_app_after_instrument": OWN_SPAN,
            f"{_FLASK}::TestProgrammaticHooksWithoutApp::test_no_app_hooks": "stock is still on "
            "without hooks: the test before, which differs, failed before it took it off",
            f"{_FLASK}::TestProgrammatic::test_internal_error": ATTRIBUTES,
            f"{_FLASK}::TestProgrammatic::test_internal_error_both_semconv": ATTRIBUTES,
            f"{_FLASK}::TestProgrammatic::test_internal_error_new_semconv": ATTRIBUTES,
        },
    ),
    Suite(
        "opentelemetry-instrumentation-django",
        "django",
        known={
            f"{_DJANGO}::TestMiddleware::test_error_both_semconv": TYPE,
            f"{_DJANGO}::TestMiddleware::test_error_new_semconv": TYPE,
            f"{_DJANGO}::TestMiddleware::test_uninstrument": OWN_SPAN,
        },
    ),
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
        known={
            f"{_NATIVE}/test_data.py::test_request_objects_are_not_exported": "the detail "
            "of an `HTTPException(503)` is the message of the error event",
            f"{_NATIVE}/test_exceptions.py::"
            "test_http_exception_records_status_without_exception_telemetry[True-503]": EVENTS,
            f"{_NATIVE}/test_http.py::test_http_statuses[/fail-500-/fail-True]": EVENTS,
            f"{_NATIVE}/test_http.py::test_http_statuses[/handled-503-/handled-True]": EVENTS,
            f"{_NATIVE}/test_operations.py::test_operation_errors[dependency]": EVENTS,
            f"{_NATIVE}/test_operations.py::test_operation_errors[endpoint]": EVENTS,
            f"{_NATIVE}/test_operations.py::test_operation_errors[serialization]": EVENTS,
        },
    ),
)
