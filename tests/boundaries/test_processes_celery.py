"""Celery, with a broker in memory and a worker in a thread: where a task's error lands."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from contract.telemetry import Telemetry, error_events, late_spans, server_span, session

pytest.importorskip("tblib")
celery = pytest.importorskip("celery")

from celery.contrib.testing.worker import start_worker  # noqa: E402

import everylayer.celery  # noqa: E402
from everylayer import failsafe  # noqa: E402

app = celery.Celery("shop", broker="memory://", backend="cache+memory://")
app.conf.update(
    broker_transport_options={"polling_interval": 0.01}, broker_connection_retry_on_startup=True
)


class OutOfStock(Exception):
    def __init__(self, sku: str, *, left: int) -> None:
        super().__init__(sku, left)
        self.sku = sku


@app.task(name="shop.reserve")  # type: ignore[untyped-decorator]
def reserve(sku: str) -> None:
    try:
        {}["left"]
    except KeyError as exc:
        raise ValueError(f"cannot reserve {sku}") from exc


@app.task(name="shop.order")  # type: ignore[untyped-decorator]
def order(sku: str) -> None:
    raise OutOfStock(sku, left=0)


@app.task(name="shop.flaky", bind=True, max_retries=2)  # type: ignore[untyped-decorator]
def flaky(self: Any) -> str:
    if self.request.retries < 2:
        raise self.retry(countdown=0, exc=TimeoutError(f"attempt {self.request.retries}"))
    return "done"


@app.task(name="shop.look")  # type: ignore[untyped-decorator]
def look() -> str:
    return trace.format_trace_id(trace.get_current_span().get_span_context().trace_id)


def _no_logging(**_: Any) -> None:
    """Tests that come later read what is logged."""


@pytest.fixture(scope="module", autouse=True)
def worker() -> Iterator[None]:
    everylayer.celery.instrument()
    # With a receiver of its own for this signal Celery leaves logging alone.
    celery.signals.setup_logging.connect(_no_logging)
    with start_worker(app, pool="solo", perform_ping_check=False, loglevel="CRITICAL"):
        yield
    celery.signals.setup_logging.disconnect(_no_logging)
    everylayer.celery.uninstrument()


@pytest.fixture
def telemetry(monkeypatch: pytest.MonkeyPatch) -> Iterator[Telemetry]:
    counts: dict[str, int] = {}
    monkeypatch.setattr(failsafe, "_counts", counts)
    with session() as found:
        yield found
        # A result is there before its task's signals are: they must not come in the next test.
        look.delay().get(timeout=30, interval=0.01)
    assert counts == {}


@contextlib.contextmanager
def request(telemetry: Telemetry) -> Iterator[trace.Span]:
    tracer = telemetry.provider.get_tracer("web")
    with tracer.start_as_current_span("POST /orders", kind=SpanKind.SERVER) as span:
        yield span


def finished(result: Any) -> None:
    with contextlib.suppress(Exception):
        result.get(timeout=10, interval=0.01)


def tasks(telemetry: Telemetry, count: int) -> list[ReadableSpan]:
    return late_spans(telemetry.wait(lambda spans: len(late_spans(spans)) >= count))


def test_a_tasks_error_lands_in_the_trace_of_the_request_that_sent_it(telemetry: Telemetry) -> None:
    with request(telemetry) as span:
        result = reserve.delay("tea")
    finished(result)
    (late,) = tasks(telemetry, 1)
    assert late.name == "shop.reserve (late)"
    assert late.parent is not None
    assert late.parent.span_id == span.get_span_context().span_id
    assert late.context is not None
    assert late.context.trace_id == span.get_span_context().trace_id
    assert late.status.status_code is StatusCode.ERROR
    assert late.attributes is not None
    assert late.attributes["everylayer.task.attempt"] == 1
    assert late.attributes["messaging.message.id"] == result.id
    (found,) = error_events([late])
    assert found.event.attributes is not None
    assert found.event.attributes["exception.type"] == "ValueError"
    assert found.event.attributes["everylayer.exception.chain"] == ("cause: KeyError",)
    assert server_span(telemetry.spans).status.is_unset


def test_a_task_runs_within_the_senders_trace_and_leaves_no_context(telemetry: Telemetry) -> None:
    with request(telemetry) as span:
        sent = look.delay()
    assert sent.get(timeout=10, interval=0.01) == trace.format_trace_id(
        span.get_span_context().trace_id
    )
    assert look.delay().get(timeout=10, interval=0.01) == "0" * 32


def test_get_raises_the_error_with_its_chain_and_links_to_where_it_was(
    telemetry: Telemetry,
) -> None:
    with request(telemetry):
        result = reserve.delay("tea")
        with pytest.raises(ValueError, match="cannot reserve tea") as caught:
            result.get(timeout=10, interval=0.01)
    cause = caught.value.__cause__
    assert isinstance(cause, KeyError)
    assert str(cause) == "'left'"
    frames = []
    tb = cause.__traceback__
    while tb is not None:
        frames.append(tb.tb_frame.f_code.co_name)
        tb = tb.tb_next
    assert frames == ["reserve"]
    assert caught.value.__suppress_context__


def test_an_error_that_cannot_be_made_again_comes_back_under_its_name(
    telemetry: Telemetry,
) -> None:
    with request(telemetry):
        result = order.delay("tea")
        with pytest.raises(Exception, match="tea") as caught:
            result.get(timeout=10, interval=0.01)
    assert "OutOfStock" in repr(caught.value) or type(caught.value).__name__ == "OutOfStock"
    (late,) = tasks(telemetry, 1)
    (found,) = error_events([late])
    assert found.event.attributes is not None
    assert str(found.event.attributes["exception.type"]).endswith("OutOfStock")


def test_a_retry_is_no_error_and_says_which_attempt_it_was(telemetry: Telemetry) -> None:
    with request(telemetry):
        result = flaky.delay()
    assert result.get(timeout=10, interval=0.01) == "done"
    spans = tasks(telemetry, 2)
    assert [(s.attributes or {})["everylayer.task.attempt"] for s in spans] == [1, 2]
    assert all(s.status.is_unset for s in spans)
    events = error_events(spans)
    assert [(e.event.attributes or {})["exception.message"] for e in events] == [
        "attempt 0",
        "attempt 1",
    ]
    assert all((e.event.attributes or {})["everylayer.handled"] for e in events)


def test_an_eager_task_fails_within_the_request(telemetry: Telemetry) -> None:
    app.conf.task_always_eager = True
    try:
        with request(telemetry):
            result = reserve.delay("tea")
            with pytest.raises(ValueError, match="tea") as caught:
                result.get()
    finally:
        app.conf.task_always_eager = False
    assert isinstance(caught.value.__cause__, KeyError)
    (found,) = error_events(telemetry.spans)
    assert found.span.name == "POST /orders"
    assert (found.event.attributes or {})["everylayer.layer.name"] == "shop.reserve"


def test_nothing_but_the_spans_ids_is_sent(telemetry: Telemetry) -> None:
    from opentelemetry import baggage, context

    seen: list[dict[str, Any]] = []

    def look_at(headers: dict[str, Any], **_: Any) -> None:
        seen.append(dict(headers))

    celery.signals.after_task_publish.connect(look_at)
    token = context.attach(baggage.set_baggage("session", "s3cret"))
    try:
        with request(telemetry):
            sent = look.delay()
    finally:
        context.detach(token)
        celery.signals.after_task_publish.disconnect(look_at)
    finished(sent)
    (headers,) = seen
    assert "traceparent" in headers
    assert "s3cret" not in repr(headers)


def test_beside_stock_the_error_is_on_its_span_once(telemetry: Telemetry) -> None:
    stock = pytest.importorskip("opentelemetry.instrumentation.celery")
    instrumentor = stock.CeleryInstrumentor()
    instrumentor.instrument()
    try:
        with request(telemetry) as span:
            result = reserve.delay("tea")
        finished(result)
        spans = telemetry.wait(lambda found: len(error_events(found)) > 0)
        with request(telemetry):
            again = look.delay()
        assert again.get(timeout=10, interval=0.01) != "0" * 32
    finally:
        instrumentor.uninstrument()
    (found,) = error_events(spans)
    assert found.span.name == "run/shop.reserve"
    assert found.span.kind is SpanKind.CONSUMER
    assert found.span.status.status_code is StatusCode.ERROR
    assert (found.event.attributes or {})["everylayer.layer.name"] == "shop.reserve"
    assert found.span.context is not None
    assert found.span.context.trace_id == span.get_span_context().trace_id
    assert look.delay().get(timeout=10, interval=0.01) == "0" * 32
