"""Which span is the request's: the server's, the one that records, the first one known."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import INVALID_SPAN, NonRecordingSpan, SpanContext, SpanKind, TraceFlags

from contract.telemetry import Telemetry, error_events, server_spans
from everylayer import spans
from everylayer.layers import Layer
from everylayer.ledger import Ledger
from everylayer.loose import ledger_for
from everylayer.observer import observe
from everylayer.settings import Settings

GATE = Layer("Gate", "middleware", 0)
Catch = Callable[[BaseException], BaseException]


@pytest.fixture
def ledger() -> Ledger:
    return Ledger(Settings())


def test_an_invalid_span_is_passed_over(ledger: Ledger) -> None:
    ledger.bind(INVALID_SPAN)
    ledger.bind(NonRecordingSpan(SpanContext(0, 0, False)))
    assert ledger.span is None


def test_a_server_span_replaces_another_kind_and_is_not_replaced(
    ledger: Ledger, tracer: trace.Tracer
) -> None:
    internal = tracer.start_span("internal")
    server = tracer.start_span("server", kind=SpanKind.SERVER)
    second = tracer.start_span("second server", kind=SpanKind.SERVER)
    for span, bound in ((internal, internal), (server, server), (internal, server)):
        ledger.bind(span)
        assert ledger.span is bound
    ledger.bind(second)
    assert ledger.span is server


def test_a_span_that_records_replaces_one_that_never_did(
    ledger: Ledger, tracer: trace.Tracer
) -> None:
    remote = NonRecordingSpan(SpanContext(1, 2, True, TraceFlags(1)))
    ledger.bind(remote)
    assert ledger.span is remote
    span = tracer.start_span("internal")
    ledger.bind(span)
    assert ledger.span is span
    ledger.bind(remote)
    assert ledger.span is span


def test_an_ended_span_is_not_replaced_by_another_internal_one(
    ledger: Ledger, tracer: trace.Tracer
) -> None:
    ended, other = tracer.start_span("ended"), tracer.start_span("other")
    ledger.bind(ended)
    ended.end()
    ledger.bind(other)
    assert ledger.span is ended


def test_an_error_moves_to_the_server_span_when_that_is_known(
    telemetry: Telemetry, tracer: trace.Tracer, ledger: Ledger, caught: Catch
) -> None:
    internal = tracer.start_span("internal")
    server = tracer.start_span("server", kind=SpanKind.SERVER)
    exc = caught(ValueError("x"))
    ledger.bind(internal)
    observe(exc, GATE, ledger=ledger)
    internal.end(1234)
    with trace.use_span(server):
        observe(exc, GATE, ledger=ledger)
    assert spans.guard_of(internal) is None
    assert telemetry.spans[0].end_time == 1234
    ledger.responded(500)
    ledger.close()
    server.end()
    (event,) = error_events(telemetry.spans)
    assert event.span.name == "server"


def test_a_span_that_is_left_for_the_server_span_runs_on(
    telemetry: Telemetry, tracer: trace.Tracer, ledger: Ledger, caught: Catch
) -> None:
    internal = tracer.start_span("internal")
    ledger.flush()
    ledger.bind(internal)
    observe(caught(ValueError("x")), GATE, ledger=ledger)
    ledger.bind(tracer.start_span("server", kind=SpanKind.SERVER))
    assert spans.guard_of(internal) is None
    assert internal.is_recording()
    internal.end()
    assert telemetry.spans[0].events == ()


def test_a_guard_of_somebody_elses_stays(
    telemetry: Telemetry, tracer: trace.Tracer, ledger: Ledger, caught: Catch
) -> None:
    internal = tracer.start_span("internal")
    other = Ledger(Settings())
    other.bind(internal)
    observe(caught(KeyError("other")), GATE, ledger=other)
    ledger.bind(internal)
    ledger.bind(tracer.start_span("server", kind=SpanKind.SERVER))
    guard = spans.guard_of(internal)
    assert guard is not None
    assert guard.ledger is other


def test_the_current_span_is_found_at_the_first_error(
    telemetry: Telemetry, tracer: trace.Tracer, ledger: Ledger, caught: Catch
) -> None:
    with tracer.start_as_current_span("GET /", kind=SpanKind.SERVER):
        observe(caught(ValueError("x")), GATE, ledger=ledger)
        ledger.responded(500)
        ledger.close()
    assert len(error_events(telemetry.spans)) == 1


def test_a_ledger_without_a_seam_writes_when_the_span_ends(
    telemetry: Telemetry, tracer: trace.Tracer, caught: Catch
) -> None:
    with tracer.start_as_current_span("work"):
        exc = caught(ValueError("x"))
        observe(exc)
        observe(exc, GATE)
        assert telemetry.spans == ()
    (event,) = error_events(telemetry.spans)
    assert event.span.status.description == "x"
    assert event.event.attributes["everylayer.layer.name"] == "Gate"  # type: ignore[index]


class TestServerSpanAfterTheFact:
    def made(self, ledger: Ledger, tracer: trace.Tracer) -> Callable[[int | None], trace.Span]:
        def make(status: int | None) -> trace.Span:
            span = tracer.start_span(f"GET / {status}", kind=SpanKind.SERVER, start_time=5)
            assert ledger.start_ns > 0
            return span

        return make

    def test_made_where_there_was_none(
        self, telemetry: Telemetry, tracer: trace.Tracer, ledger: Ledger, caught: Catch
    ) -> None:
        exc = caught(ValueError("x"))
        observe(exc, GATE, ledger=ledger)
        ledger.responded(500)
        ledger.close(exc, self.made(ledger, tracer))
        ledger.close(exc, self.made(ledger, tracer))
        (event,) = error_events(telemetry.spans)
        assert event.span.name == "GET / 500"
        assert event.span.start_time == 5
        assert event.span.status.description == "x"
        assert len(telemetry.spans) == 1

    def test_not_made_for_a_clean_request(
        self, telemetry: Telemetry, tracer: trace.Tracer, ledger: Ledger
    ) -> None:
        ledger.close(None, self.made(ledger, tracer))
        assert telemetry.spans == ()

    def test_never_a_second_one(
        self, telemetry: Telemetry, tracer: trace.Tracer, ledger: Ledger, caught: Catch
    ) -> None:
        with tracer.start_as_current_span("GET /", kind=SpanKind.SERVER):
            observe(caught(ValueError("x")), GATE, ledger=ledger)
            ledger.close(None, self.made(ledger, tracer))
        assert len(server_spans(telemetry.spans)) == 1

    def test_not_made_when_switched_off(
        self, telemetry: Telemetry, tracer: trace.Tracer, caught: Catch
    ) -> None:
        ledger = Ledger(Settings(server_span=False))
        observe(caught(ValueError("x")), GATE, ledger=ledger)
        ledger.close(None, self.made(ledger, tracer))
        assert telemetry.spans == ()

    def test_none_to_be_had(self, telemetry: Telemetry, ledger: Ledger, caught: Catch) -> None:
        observe(caught(ValueError("x")), GATE, ledger=ledger)
        ledger.close(None, lambda status: None)
        assert telemetry.spans == ()
        assert not list(ledger.exceptions())

    def test_not_sampled(self, telemetry: Telemetry, ledger: Ledger, caught: Catch) -> None:
        tracer = TracerProvider(sampler=ALWAYS_OFF).get_tracer("x")
        observe(caught(ValueError("x")), GATE, ledger=ledger)
        ledger.close(None, self.made(ledger, tracer))
        assert telemetry.spans == ()

    def test_not_made_for_departures_alone(
        self, telemetry: Telemetry, tracer: trace.Tracer, ledger: Ledger
    ) -> None:
        import asyncio

        observe(asyncio.CancelledError(), GATE, ledger=ledger)
        ledger.close(None, self.made(ledger, tracer))
        assert telemetry.spans == ()

    def test_not_made_for_what_policy_leaves_out(
        self, telemetry: Telemetry, tracer: trace.Tracer, ledger: Ledger, caught: Catch
    ) -> None:
        observe(caught(ValueError()), Layer("view", "view"), ledger=ledger, client_status=404)
        ledger.responded(404)
        ledger.close(None, self.made(ledger, tracer))
        assert telemetry.spans == ()

    def test_the_error_is_not_lost_when_none_can_be_made(
        self,
        telemetry: Telemetry,
        ledger: Ledger,
        caught: Catch,
        failures: dict[str, int],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN", "logs/dup")

        def broken(status: int | None) -> trace.Span:
            raise RuntimeError("a header broke it")

        observe(caught(ValueError("x")), GATE, ledger=ledger)
        ledger.close(None, broken)
        assert len(telemetry.logs) == 1
        assert sum(failures.values()) == 1
        assert not list(ledger.exceptions())


def test_the_ledger_of_an_unguarded_span_is_new(tracer: trace.Tracer) -> None:
    span = tracer.start_span("x")
    first = ledger_for(span, Settings())
    assert first.span is span
    assert first is not ledger_for(span, Settings())
