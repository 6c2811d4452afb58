"""What the core's tests share: an empty SDK, no settings left behind, and no failure of ours."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind

from contract.telemetry import Telemetry, session
from everylayer import failsafe, settings
from everylayer.ledger import Ledger
from everylayer.settings import Settings

_E = TypeVar("_E", bound=BaseException)


@pytest.fixture(autouse=True)
def _clean_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for variable in list(os.environ):
        if variable.startswith(("EVERYLAYER_", "OTEL_")):
            monkeypatch.delenv(variable)
    settings.reset()
    yield
    settings.reset()


@pytest.fixture
def failures(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Count our own failures from zero; a test that asks for it expects some."""
    counts: dict[str, int] = {}
    monkeypatch.setattr(failsafe, "_counts", counts)
    return counts


@pytest.fixture(autouse=True)
def _no_failure_of_ours(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """A failure that `contained` hides from the app must not hide from the tests."""
    if "failures" in request.fixturenames:
        yield
        return
    counts: dict[str, int] = {}
    monkeypatch.setattr(failsafe, "_counts", counts)
    yield
    assert counts == {}


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    with session() as found:
        yield found


@pytest.fixture
def tracer(telemetry: Telemetry) -> trace.Tracer:
    return telemetry.provider.get_tracer("app")


Request = tuple[Span, Ledger]


@pytest.fixture
def request_of(tracer: trace.Tracer) -> Iterator[Callable[..., Request]]:
    """Begin requests as an outermost seam does, each with a server span; end what is open."""
    begun: list[Span] = []

    def begin(rules: Settings | None = None, **settings: Any) -> Request:
        span = tracer.start_span("GET /", kind=SpanKind.SERVER)
        begun.append(span)
        ledger = Ledger(rules or Settings(**settings))
        ledger.bind(span)
        return span, ledger

    yield begin
    for span in begun:
        if span.is_recording():
            span.end()


@pytest.fixture
def caught() -> Callable[[_E], _E]:
    """Raise an exception and catch it, so that it has a traceback."""

    def raise_and_catch(exc: _E) -> _E:
        try:
            raise exc
        except type(exc) as found:
            return found

    return raise_and_catch
