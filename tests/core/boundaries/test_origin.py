"""An exception knows where it was, wherever it goes; and log records say so."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, format_span_id, format_trace_id

import everylayer
from contract.telemetry import Telemetry, error_events, late_spans
from everylayer.layers import Layer
from everylayer.ledger import Ledger
from everylayer.observer import observe

GATE = Layer("Gate", "middleware", 0)
Begin = Callable[..., tuple[trace.Span, Ledger]]
Catch = Callable[[BaseException], BaseException]


def ids_of(span: Any) -> tuple[str, str]:
    own = span.get_span_context()
    return format_trace_id(own.trace_id), format_span_id(own.span_id)


def test_the_span_layer_and_time_are_known_at_once_and_stay(
    telemetry: Telemetry, request_of: Begin, caught: Catch
) -> None:
    span, ledger = request_of()
    exc = caught(ValueError("x"))
    assert everylayer.trace_of(exc) is None
    observe(exc, GATE, ledger=ledger)
    before = everylayer.trace_of(exc)
    assert before is not None
    assert before[:3] == (*ids_of(span), "Gate")
    ledger.close(exc)
    span.end()
    ((_, event),) = error_events(telemetry.spans)
    assert before.time_ns == event.timestamp
    assert everylayer.trace_of(exc) == before


def test_a_late_error_names_its_late_span(
    telemetry: Telemetry, request_of: Begin, caught: Catch
) -> None:
    span, ledger = request_of()
    span.end()
    exc = caught(ValueError("x"))
    observe(exc, GATE, ledger=ledger)
    ledger.close(exc)
    (late,) = late_spans(telemetry.spans)
    found = everylayer.trace_of(exc)
    assert found is not None
    assert found[:2] == ids_of(late)


def test_a_late_error_that_comes_by_again_is_known_by_its_note(
    telemetry: Telemetry, request_of: Begin, caught: Catch, tracer: trace.Tracer
) -> None:
    exc = caught(ValueError("x"))
    for _ in range(2):
        span, ledger = request_of()
        span.end()
        with trace.use_span(span, record_exception=False):
            for _ in range(3):
                everylayer.record(exc)
        ledger.close()
    # Two requests have raised the same object: each has it once.
    assert len(late_spans(telemetry.spans)) == 2
    found = everylayer.trace_of(exc)
    assert found is not None
    assert found[:2] == ids_of(late_spans(telemetry.spans)[1])


def seen(request_of: Begin, exc: BaseException) -> everylayer.ErrorOrigin:
    span, ledger = request_of()
    observe(exc, GATE, ledger=ledger)
    ledger.close(exc)
    span.end()
    found = everylayer.trace_of(exc)
    assert found is not None
    return found


def test_a_wrapper_answers_for_its_chain_until_it_is_seen_itself(
    telemetry: Telemetry, request_of: Begin, caught: Catch
) -> None:
    inner, outer = caught(ValueError("inner")), RuntimeError("outer")
    of_inner = seen(request_of, inner)
    outer.__cause__ = inner
    assert everylayer.trace_of(outer) == of_inner
    of_outer = seen(request_of, outer)
    assert of_outer != of_inner
    assert everylayer.trace_of(inner) == of_inner


def test_it_survives_pickling_and_raising_again(
    telemetry: Telemetry, request_of: Begin, caught: Catch
) -> None:
    exc = caught(ValueError("x"))
    found = seen(request_of, exc)
    assert everylayer.trace_of(pickle.loads(pickle.dumps(exc))) == found
    assert everylayer.trace_of(caught(exc)) == found


class Hostile(Exception):
    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("hostile")

    def __str__(self) -> str:
        raise RuntimeError("hostile")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("hostile")

    __hash__ = None  # type: ignore[assignment]


def test_a_hostile_exception(telemetry: Telemetry, request_of: Begin, caught: Catch) -> None:
    assert seen(request_of, caught(Hostile("x"))).layer == "Gate"
    span, _ = request_of()
    with pytest.raises(Hostile), trace.use_span(span, end_on_exit=True), everylayer.guard():
        raise Hostile("x")
    assert len(error_events(telemetry.spans)) == 2


def test_the_note_is_plain_values(telemetry: Telemetry, request_of: Begin, caught: Catch) -> None:
    exc = caught(ValueError("x"))
    seen(request_of, exc)
    notes = [note for key, note in vars(exc).items() if key.startswith("_everylayer")]
    assert notes
    assert {type(value) for note in notes for value in note} <= {int, str, bool, tuple, type(None)}


@pytest.fixture
def lines() -> Iterator[Any]:
    """A logger with the filter, and what it has written."""
    written: list[logging.LogRecord] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            written.append(record)

    logger = logging.getLogger("everylayer.tests.origin")
    logger.setLevel(logging.INFO)
    handler = Keep()
    handler.addFilter(everylayer.TraceFilter())
    logger.addHandler(handler)
    yield logger, written
    logger.removeHandler(handler)


def test_a_record_names_the_trace_of_its_exception(
    telemetry: Telemetry, request_of: Begin, caught: Catch, tracer: trace.Tracer, lines: Any
) -> None:
    logger, written = lines
    exc = caught(ValueError("x"))
    found = seen(request_of, exc)
    with tracer.start_as_current_span("another"):
        logger.error("failed", exc_info=exc)
    record = written[0]
    told = (record.trace_id, record.span_id, record.error_layer, record.error_time_ns)
    assert told == tuple(found)


def test_another_record_names_the_current_span_or_nothing(
    telemetry: Telemetry, tracer: trace.Tracer, lines: Any
) -> None:
    logger, written = lines
    with tracer.start_as_current_span("GET /", kind=SpanKind.SERVER) as span:
        logger.info("in a request")
        logger.info("told by the app", extra={"trace_id": "its own"})
        logger.error("not seen by us", exc_info=ValueError("x"))
    logger.info("outside")
    formatted = [
        logging.Formatter("%(trace_id)s|%(span_id)s|%(error_layer)s|%(error_time_ns)d").format(one)
        for one in written
    ]
    here = "|".join(ids_of(span))
    assert formatted[0] == f"{here}||0"
    assert formatted[1].startswith("its own|")
    assert formatted[2].splitlines()[0] == f"{here}||0"
    assert formatted[3] == "|||0"
