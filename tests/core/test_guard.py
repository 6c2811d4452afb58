"""The guard on a failing span: seen by nobody, gone without a trace, no heavier than it must be."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import Span, SpanKind

import everylayer
from contract.faults import BrokenStrError
from contract.telemetry import Telemetry, error_events
from everylayer import spans, stacktrace, text
from everylayer.layers import Layer
from everylayer.ledger import Ledger
from everylayer.loose import ledger_for
from everylayer.observer import observe
from everylayer.settings import Settings

GATE = Layer("Gate", "middleware", 0)
Begin = Callable[..., tuple[trace.Span, Ledger]]
Catch = Callable[[BaseException], BaseException]


def test_the_guard_goes_without_a_trace(
    telemetry: Telemetry, request_of: Begin, caught: Catch
) -> None:
    span, ledger = request_of()
    names = set(vars(span))
    for exc in (caught(ValueError("x")), caught(BrokenStrError())):
        observe(exc, GATE, ledger=ledger)
    assert set(vars(span)) > names
    ledger.responded(500)
    ledger.close()
    span.end()
    assert set(vars(span)) == names
    assert spans.guard_of(span) is None


def test_what_others_put_on_the_span_is_used_and_given_back(
    telemetry: Telemetry, request_of: Begin, caught: Catch
) -> None:
    span, ledger = request_of()
    calls: list[str] = []

    def wrap(name: str) -> Callable[..., Any]:
        original = getattr(span, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            calls.append(name)
            return original(*args, **kwargs)

        return wrapped

    theirs = {name: wrap(name) for name in ("record_exception", "set_status", "end")}
    vars(span).update(theirs)
    observe(caught(ValueError("x")), GATE, ledger=ledger)
    span.set_status(trace.StatusCode.ERROR, "mine")
    ledger.responded(500)
    ledger.close()
    span.end()
    assert calls == ["set_status", "end"]
    assert {name: vars(span)[name] for name in theirs} == theirs
    assert len(error_events(telemetry.spans)) == 1


def test_wrapping_the_guard_and_ending_through_it(
    telemetry: Telemetry, request_of: Begin, caught: Catch
) -> None:
    span, ledger = request_of()
    observe(caught(ValueError("x")), GATE, ledger=ledger)
    guarded_end = span.end
    ended: list[int] = []

    def end(end_time: int | None = None) -> None:
        ended.append(1)
        guarded_end(end_time)

    span.end = end  # type: ignore[method-assign]
    ledger.responded(200)
    span.end()
    assert ended == [1]
    assert len(telemetry.spans) == 1


def test_ending_twice_is_what_it_was(
    telemetry: Telemetry, request_of: Begin, caught: Catch, caplog: pytest.LogCaptureFixture
) -> None:
    span, ledger = request_of()
    observe(caught(ValueError("x")), GATE, ledger=ledger)
    end = span.end
    ledger.responded(200)
    end()
    end()
    assert len(telemetry.spans) == 1
    assert "ended span" in caplog.text


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Count what is made of an error."""
    calls: list[str] = []

    def counting(module: Any, name: str) -> None:
        original = getattr(module, name)

        def count(*args: Any, **kwargs: Any) -> Any:
            calls.append(name)
            return original(*args, **kwargs)

        monkeypatch.setattr(module, name, count)

    counting(stacktrace, "render")
    counting(stacktrace, "raising_frame")
    counting(text, "message_of")
    counting(text, "is_printable")
    return calls


def unsampled() -> Span:
    return TracerProvider(sampler=ALWAYS_OFF).get_tracer("x").start_span("x", kind=SpanKind.SERVER)


@pytest.mark.parametrize("make", [unsampled, lambda: trace.INVALID_SPAN], ids=["unsampled", "none"])
def test_nothing_is_rendered_for_a_span_that_does_not_record(
    telemetry: Telemetry, caught: Catch, rendered: list[str], make: Callable[[], Span]
) -> None:
    span = make()
    before = dict(vars(span))
    with trace.use_span(span):
        ledger = Ledger(Settings())
        ledger.bind(span)
        exc = caught(ValueError("x"))
        observe(exc, GATE, ledger=ledger)
        observe(exc, GATE)
        everylayer.record(exc)
        ledger.responded(500)
        ledger.close(exc)
    assert rendered == []
    assert vars(span) == before
    assert telemetry.spans == ()


def test_a_stack_is_rendered_once_however_many_look(
    telemetry: Telemetry, request_of: Begin, caught: Catch, rendered: list[str]
) -> None:
    span, ledger = request_of()
    exc = caught(ValueError("x"))
    for _ in range(10):
        observe(exc, GATE, ledger=ledger)
        with contextlib.suppress(ValueError), trace.use_span(span):
            raise exc
    ledger.responded(500)
    assert "render" not in rendered
    ledger.close(exc)
    span.end()
    assert rendered.count("render") == 1


def test_nothing_is_rendered_for_what_policy_leaves_out(
    telemetry: Telemetry, request_of: Begin, caught: Catch, rendered: list[str]
) -> None:
    span, ledger = request_of()
    observe(caught(ValueError("x")), Layer("view", "view"), ledger=ledger, client_status=404)
    ledger.responded(404)
    ledger.close()
    span.end()
    assert "render" not in rendered
    assert error_events(telemetry.spans) == []


def test_switched_off_nothing_is_touched(
    telemetry: Telemetry, request_of: Begin, caught: Catch
) -> None:
    span, ledger = request_of(enabled=False)
    before = dict(vars(span))
    observe(caught(ValueError("x")), GATE, ledger=ledger)
    assert vars(span) == before
    assert not ledger.errors


def test_one_guard_for_a_span_whichever_door_is_used(
    telemetry: Telemetry, request_of: Begin, caught: Catch
) -> None:
    span, ledger = request_of()
    with trace.use_span(span):
        everylayer.record(caught(KeyError("by hand")))
        first = spans.guard_of(span)
        observe(caught(ValueError("x")), GATE, ledger=ledger)
        assert spans.guard_of(span) is first
        assert ledger_for(span, Settings()) is ledger
        observe(caught(OSError("z")))
    ledger.responded(500)
    ledger.close()
    span.end()
    assert len(error_events(telemetry.spans)) == 3


def test_two_open_ledgers_on_one_span_share_a_page(
    telemetry: Telemetry, request_of: Begin, caught: Catch
) -> None:
    span, outer = request_of()
    inner = Ledger(Settings())
    inner.bind(span)
    both = caught(ValueError("both"))
    observe(caught(KeyError("outer")), GATE, ledger=outer)
    observe(both, GATE, ledger=inner)
    observe(both, GATE, ledger=outer)
    inner.close(both)
    outer.responded(500)
    outer.close(both)
    span.end()
    found = [
        dict(e.event.attributes or {})["exception.type"] for e in error_events(telemetry.spans)
    ]
    assert found == ["KeyError", "ValueError"]


def test_pages_filled_apart_are_joined(
    telemetry: Telemetry, request_of: Begin, tracer: trace.Tracer, caught: Catch
) -> None:
    """One ledger had errors before it learned of the span on which another one has errors."""
    span, known = request_of()
    late_to_know = Ledger(Settings())
    both = caught(OSError("both"))
    observe(caught(KeyError("no span yet")), GATE, ledger=late_to_know)
    observe(both, GATE, ledger=late_to_know)
    observe(caught(ValueError("known")), GATE, ledger=known)
    observe(both, GATE, ledger=known)
    late_to_know.bind(span)
    observe(both, GATE, ledger=late_to_know)
    late_to_know.responded(500)
    late_to_know.close()
    known.close()
    span.end()
    found = {
        dict(e.event.attributes or {})["exception.type"] for e in error_events(telemetry.spans)
    }
    assert found == {"KeyError", "ValueError", "OSError"}
    assert len(error_events(telemetry.spans)) == 3
