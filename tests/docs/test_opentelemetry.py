"""What docs/opentelemetry.md says of the SDK still holds, and what it says of everylayer does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import opentelemetry.sdk
import pytest
from flask import Flask
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Status, StatusCode

from contract.drive import environ, run_wsgi
from contract.telemetry import error_events, session
from everylayer import settings, signals
from everylayer.sinks import attributes
from everylayer_flask import EveryLayer
from pages import text_of

PAGE = text_of("opentelemetry.md")


def failed(exc: Exception) -> Any:
    span = TracerProvider().get_tracer("app").start_span("charge")
    span.record_exception(exc)
    return span


def test_the_sdk_still_writes_what_is_deprecated() -> None:
    assert failed(ValueError("no")).events[0].attributes["exception.escaped"] == "False"


def test_the_sdk_does_not_guard_str() -> None:
    class Odd(Exception):
        def __str__(self) -> str:
            raise AttributeError("detail")

    with pytest.raises(AttributeError, match="detail"):
        failed(Odd())


def test_a_second_error_takes_the_description_away() -> None:
    span = failed(ValueError("no"))
    span.set_status(Status(StatusCode.ERROR, "no espresso"))
    span.set_status(Status(StatusCode.ERROR))
    assert span.status.description is None


def test_the_sdk_does_not_read_the_switch() -> None:
    files = Path(opentelemetry.sdk.__path__[0]).rglob("*.py")
    assert not [f for f in files if signals._SIGNAL_OPT_IN in f.read_text(encoding="utf-8")]


def test_everylayer_writes_no_escaped_and_keeps_the_class() -> None:
    settings.reset()
    app = Flask("versions")
    EveryLayer(app)
    app.add_url_rule("/", "view", lambda: 1 / 0)
    with session() as telemetry:
        run_wsgi(app, environ())
        ((span, event),) = error_events(telemetry.spans)
    assert "exception.escaped" not in (event.attributes or {})
    assert (span.attributes or {})["error.type"] == "ZeroDivisionError"


def test_the_switch_has_the_values_of_the_page() -> None:
    wanted = {
        value: signals.wanted({signals._SIGNAL_OPT_IN: value}) for value in ("", "logs", "logs/dup")
    }
    assert wanted == {"": (True, False), "logs": (False, True), "logs/dup": (True, True)}


def test_the_conventions_version_is_the_codes() -> None:
    (followed,) = re.findall(r"semantic conventions (1\.\d+)", attributes.__doc__ or "")
    assert f"| {followed} | | |" in PAGE
    assert f"follows {followed}" in text_of("conventions.md")


def test_each_source_is_linked() -> None:
    used = set(re.findall(r"\]\[(\w+)\]", PAGE))
    assert used == set(re.findall(r"^\[(\w+)\]: https://", PAGE, re.MULTILINE))
