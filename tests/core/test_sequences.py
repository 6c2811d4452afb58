"""Whatever order a request's seams, stock and the app act in: each error once, none lost."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.trace import SpanKind, Status, StatusCode

from contract.telemetry import error_events, late_spans, server_span, session, tree
from everylayer import failsafe, spans
from everylayer.layers import Layer
from everylayer.ledger import Ledger
from everylayer.observer import observe
from everylayer.settings import Settings

LAYERS = [Layer(f"L{index}", "middleware", index) for index in range(3)]
ERRORS = st.integers(0, 5)
STEPS = st.one_of(
    st.tuples(st.just("see"), ERRORS, st.sampled_from(LAYERS)),
    st.tuples(st.just("app records"), ERRORS),
    st.tuples(st.just("stock fails"), ERRORS),
    st.tuples(st.just("respond"), st.sampled_from([200, 404, 500])),
    st.tuples(st.just("end")),
    st.tuples(st.just("close"), st.none() | ERRORS),
)
STOCK = """
span.record_exception(exc)
span.set_status(Status(ERROR, f"{type(exc).__name__}: {exc}"))
"""


class Play:
    """One request, acted out step by step."""

    def __init__(self, tracer: Any) -> None:
        self.span = tracer.start_span("GET /", kind=SpanKind.SERVER)
        self.ledger = Ledger(Settings())
        self.ledger.bind(self.span)
        self.errors = [self.raised(number) for number in range(6)]
        self.seen: set[int] = set()
        self.ended = self.closed = False

    def raised(self, number: int) -> BaseException:
        try:
            raise ValueError(str(number))
        except ValueError as exc:
            return exc

    def step(self, name: str, *args: Any) -> None:
        if self.ended and self.closed:
            return
        getattr(self, name.replace(" ", "_"))(*args)

    def see(self, number: int, layer: Layer) -> None:
        observe(self.errors[number], layer, ledger=self.ledger)
        self.seen.add(number)

    def app_records(self, number: int) -> None:
        # Before the first sighting nobody guards the span: what is put on it then, stands.
        if spans.guard_of(self.span) is not None:
            self.span.record_exception(self.errors[number])
            self.seen.add(number)

    def stock_fails(self, number: int) -> None:
        if spans.guard_of(self.span) is not None:
            exec(
                STOCK,
                {
                    "__name__": "opentelemetry.instrumentation.shop",
                    "span": self.span,
                    "exc": self.errors[number],
                    "Status": Status,
                    "ERROR": StatusCode.ERROR,
                },
            )
            self.seen.add(number)

    def respond(self, status: int) -> None:
        if not self.closed:
            self.ledger.responded(status)

    def end(self) -> None:
        self.span.end()
        self.ended = True

    def close(self, number: int | None) -> None:
        self.ledger.close(None if number is None else self.errors[number])
        self.closed = True

    def finish(self) -> None:
        if not self.closed:
            self.close(None)
        if not self.ended:
            self.end()


@given(st.lists(STEPS, max_size=14))
@settings(deadline=None, max_examples=120)
def test_each_error_once_whatever_the_order(steps: list[tuple[Any, ...]]) -> None:
    before = dict(failsafe.own_failures())
    with session() as telemetry:
        play = Play(telemetry.provider.get_tracer("app"))
        for step in steps:
            play.step(*step)
        play.finish()
        done = telemetry.spans
        events = error_events(done)
        found = Counter((e.event.attributes or {})["exception.message"] for e in events)
        assert found == Counter(str(number) for number in play.seen), tree(done)
        server = server_span(done)
        assert {late.parent and late.parent.span_id for late in late_spans(done)} <= {
            server.context and server.context.span_id
        }
        failed = [
            e for e in server.events if (e.attributes or {}).get("everylayer.handled") is False
        ]
        assert (server.status.status_code is StatusCode.ERROR) is bool(failed), tree(done)
        assert (server.status.description is None) is not failed
        assert spans.guard_of(play.span) is None
        assert not list(play.ledger.exceptions())
    assert dict(failsafe.own_failures()) == before
