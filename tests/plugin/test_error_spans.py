"""The fixture `error_spans`: what passes, what fails, and in which words."""

from __future__ import annotations

import importlib.util
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode

import everylayer
import everylayer.testing.audits
import everylayer.testing.items
from everylayer.testing import ErrorSpans

pytest_plugins = "pytester"

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"
# What the test on that page asks.
SHOP = """
import pytest
from everylayer_flask import EveryLayer
from flask import Flask

class AuthMiddleware:
    def __init__(self, inner):
        self.inner = inner

    def __call__(self, environ, start_response):
        raise PermissionError("no such user")

class Refusal(AuthMiddleware):
    def __call__(self, environ, start_response):
        try:
            return self.inner(environ, start_response)
        except PermissionError:
            start_response("403 FORBIDDEN", [])
            return []

@pytest.fixture
def client():
    app = Flask("shop")
    app.wsgi_app = Refusal(AuthMiddleware(app.wsgi_app))
    EveryLayer(app)
    return app.test_client()
"""
SERVER = SpanKind.SERVER


class OrderError(ValueError):
    pass


def fail(error: BaseException, span: str = "GET /orders", layer: str = "shop.Auth") -> None:
    """Have a layer refuse a request, within the request's span."""
    with trace.get_tracer("shop").start_as_current_span(span, kind=SERVER) as current:
        try:
            raise error
        except BaseException as exc:
            everylayer.record(exc, layer=layer)
            current.set_status(Status(StatusCode.ERROR, "no"))


def words(call: pytest.ExceptionInfo[AssertionError]) -> str:
    return str(call.value)


def test_what_was_recorded_is_returned(error_spans: ErrorSpans) -> None:
    fail(ValueError("no user 7"))
    fail(KeyError("sku"), span="GET /stock")
    (found,) = error_spans.assert_recorded(
        ValueError,
        message="user 7",
        layer="Auth",
        status="ERROR",
        handled=False,
        span="GET /or*",
    )
    assert (found.type, found.message, found.layer) == ("ValueError", "no user 7", "shop.Auth")
    assert "in fail" in found.stack
    assert found.span in error_spans.spans
    assert found.event in error_spans.errors
    error_spans.assert_recorded("KeyError", message=re.compile("s.u"), span=error_spans.spans[1])
    assert [span.name for span in error_spans.spans] == ["GET /orders", "GET /stock"]
    error_spans.clear()
    assert error_spans.spans == ()
    error_spans.assert_none()


@pytest.mark.parametrize(
    "asked",
    [
        {"message": "user 8"},
        {"message": re.compile("^user")},
        {"layer": "Session"},
        {"status": "UNSET"},
        {"handled": True},
        {"count": 2},
        {"count": 0},
        {"span": "GET /stock"},
    ],
    ids=str,
)
def test_each_thing_asked_for_is_held_against_the_event(
    asked: dict[str, object], error_spans: ErrorSpans
) -> None:
    fail(OrderError("no user 7"))
    error_spans.assert_recorded(OrderError)
    with pytest.raises(AssertionError):
        error_spans.assert_recorded(OrderError, wait=0, **asked)  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [ValueError, "Error", "shop.OrderError", KeyError])
def test_another_class_will_not_do(
    error: type[BaseException] | str, error_spans: ErrorSpans
) -> None:
    fail(OrderError("no"))
    error_spans.assert_recorded("OrderError")
    error_spans.assert_recorded(f"{__name__}.OrderError")
    error_spans.assert_recorded(error, count=0)
    with pytest.raises(AssertionError):
        error_spans.assert_recorded(error, wait=0)


def test_the_words_show_the_nearest_first_and_the_trace(error_spans: ErrorSpans) -> None:
    with trace.get_tracer("shop").start_as_current_span("GET /", kind=SERVER):
        fail(KeyError("far"), span="first")
        fail(ValueError("near"), span="second", layer="shop.Session")
    with pytest.raises(AssertionError) as call:
        error_spans.assert_recorded(ValueError, layer="Auth", status="ERROR", wait=0)
    text = words(call)
    assert text.startswith("ValueError was to be recorded once, and is not there\n")
    assert text.index("ValueError: near, on second") < text.index("KeyError: 'far', on first")
    assert "    - layer    Auth\n    + layer    shop.Session\n" in text
    assert "      status   ERROR\n" in text
    tree = text.partition("\ntrace ")[2].splitlines()[1:]
    assert tree == [
        "  GET /  SERVER  UNSET",
        "  ├── first  SERVER  ERROR  no",
        "  │   └── ! KeyError: 'far'  [shop.Auth]",
        "  └── second  SERVER  ERROR  no",
        "      └── ! ValueError: near  [shop.Session]",
    ]


def test_any_error_is_too_much_for_assert_none(error_spans: ErrorSpans) -> None:
    error_spans.assert_none()
    with trace.get_tracer("shop").start_as_current_span("GET /") as span:
        span.set_status(StatusCode.ERROR)
    with pytest.raises(AssertionError, match=r"GET /  INTERNAL  ERROR"):
        error_spans.assert_none()


def test_an_event_of_another_recorder_has_no_layer(error_spans: ErrorSpans) -> None:
    with trace.get_tracer("shop").start_as_current_span("GET /") as span:
        span.record_exception(ValueError("x"))
    (found,) = error_spans.assert_recorded(ValueError)
    assert (found.layer, found.handled) == ("", None)
    with pytest.raises(AssertionError, match=r"\+ handled  \(not said\)"):
        error_spans.assert_recorded(ValueError, handled=False, wait=0)


@pytest.mark.parametrize("wrong", [7, None, "", object])
def test_what_is_no_error_is_refused(wrong: object, error_spans: ErrorSpans) -> None:
    with pytest.raises(TypeError, match="neither an exception class nor the name of one"):
        error_spans.assert_recorded(wrong)  # type: ignore[arg-type]


def test_a_status_that_there_is_not_is_refused(error_spans: ErrorSpans) -> None:
    with pytest.raises(ValueError, match="none of 'ERROR', 'UNSET' and 'OK'"):
        error_spans.assert_recorded(ValueError, status="error")  # type: ignore[arg-type]


def test_a_span_that_a_thread_ends_later_is_waited_for(error_spans: ErrorSpans) -> None:
    def late() -> None:
        time.sleep(0.05)
        fail(ValueError("late"))

    thread = threading.Thread(target=late)
    thread.start()
    error_spans.assert_recorded(ValueError, wait=5)
    thread.join()


def test_a_span_that_does_not_end_is_named(error_spans: ErrorSpans) -> None:
    span = trace.get_tracer("shop").start_span("GET /slow")
    began = time.monotonic()
    with pytest.raises(AssertionError, match="not ended: GET /slow"):
        error_spans.assert_recorded(ValueError, wait=0.1)
    assert 0.1 <= time.monotonic() - began < 2
    span.end()


def test_log_events_are_named_where_they_are_asked_for(
    error_spans: ErrorSpans, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN", "logs")
    with pytest.raises(AssertionError, match="exceptions are log events here"):
        error_spans.assert_recorded(ValueError, wait=0)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.anyio
async def test_a_task_goes_on_while_the_test_waits(error_spans: ErrorSpans) -> None:
    import asyncio

    async def late() -> None:
        await asyncio.sleep(0.05)
        fail(ValueError("late"))

    task = asyncio.create_task(late())
    await error_spans.assert_recorded_async(ValueError, message="late", wait=5)
    await task


@pytest.mark.anyio
async def test_a_loop_that_stood_still_is_told(error_spans: ErrorSpans) -> None:
    with (
        trace.get_tracer("shop").start_as_current_span("GET /"),
        pytest.raises(AssertionError, match="await assert_recorded_async"),
    ):
        error_spans.assert_recorded(ValueError, wait=0.02)
    with pytest.raises(AssertionError, match="no exception event is on any span"):
        await error_spans.assert_recorded_async(ValueError, wait=0.02)


Run = Callable[[], pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run pytest within this process, with no plugin but ours."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    options = ("-p", "everylayer_pytest", "-p", "no:cacheprovider")
    return lambda: pytester.runpytest_inprocess(*options)


def test_the_traceback_ends_in_the_users_test(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(
        """
        def test_lost(error_spans):
            error_spans.assert_recorded(ValueError, layer="Auth", wait=0)
        """
    )
    result = run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            ">*error_spans.assert_recorded(ValueError, layer=*",
            "E*AssertionError: ValueError was to be recorded once, and is not there",
            "E*no exception event is on any span",
            "E*no span has ended",
            "test_the_traceback_ends_in_the_users_test.py:2: AssertionError",
        ]
    )
    assert "everylayer/testing" not in result.stdout.str()


def test_the_page_shows_a_test_that_passes(pytester: pytest.Pytester, run: Run) -> None:
    importlib.import_module("everylayer_flask")  # Else the inner run would import, and forget it.
    text = PAGE.read_text(encoding="utf-8")
    block = text.partition("```python\n")[2].partition("```")[0]
    pytester.makeconftest(SHOP)
    pytester.makepyfile(block)
    run().assert_outcomes(passed=1)


def test_a_missing_sdk_is_one_sentence(
    pytester: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, package=None: None if name == "opentelemetry.sdk" else there(name, package),
    )
    pytester.makepyfile("def test_it(error_spans): pass\ndef test_app(everylayer_audit): pass")
    result = run()
    result.assert_outcomes(errors=2)
    said = "needs opentelemetry-sdk: pip install 'everylayer[[]pytest]'"
    result.stdout.fnmatch_lines([f"error_spans {said}", f"everylayer_audit {said}"])
    assert "Traceback" not in result.stdout.str()


def test_an_old_pytest_is_one_sentence(
    pytester: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pytest, "version_tuple", (6, 2, 5))
    monkeypatch.setattr(pytest, "__version__", "6.2.5")
    pytester.makepyfile("def test_it(error_spans): pass\ndef test_other(): pass")
    result = run()
    result.assert_outcomes(errors=1, passed=1)
    result.stdout.fnmatch_lines(["*needs pytest 7 or newer, and this is 6.2.5: *"])
