"""Celery beside its stock instrumentation: one event on the task's span, and it is ours."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from contract.telemetry import Telemetry, error_events, session

pytest.importorskip("tblib")
celery = pytest.importorskip("celery")
stock = pytest.importorskip("opentelemetry.instrumentation.celery")

from celery import exceptions  # noqa: E402
from celery.contrib.testing.worker import start_worker  # noqa: E402

import everylayer.celery  # noqa: E402
from everylayer import failsafe  # noqa: E402

SECRET = "hunter2-s3cret"
app = celery.Celery("beside", broker="memory://", backend="cache+memory://")
app.conf.update(
    broker_transport_options={"polling_interval": 0.01}, broker_connection_retry_on_startup=True
)


class OutOfStock(Exception):
    """One that cannot be pickled: Celery shows another in its place."""

    def __init__(self, sku: str, *, left: int) -> None:
        super().__init__(sku, left)


class Hostile(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def leak() -> Exception:
    return ConnectionError(f"no answer from postgres://shop:{SECRET}@db/shop")


@app.task(name="beside.fails")  # type: ignore[untyped-decorator]
def fails() -> None:
    try:
        dict[str, int]()["left"]
    except KeyError as exc:
        raise leak() from exc


@app.task(name="beside.unpickled")  # type: ignore[untyped-decorator]
def unpickled() -> None:
    raise OutOfStock(f"password={SECRET}", left=0)


@app.task(name="beside.hostile")  # type: ignore[untyped-decorator]
def hostile() -> None:
    raise Hostile


@app.task(name="beside.soft")  # type: ignore[untyped-decorator]
def soft() -> None:
    raise exceptions.SoftTimeLimitExceeded(1)


@app.task(name="beside.throws", throws=(LookupError,))  # type: ignore[untyped-decorator]
def throws() -> None:
    raise KeyError("no such order")


@app.task(name="beside.ignores")  # type: ignore[untyped-decorator]
def ignores() -> None:
    raise exceptions.Ignore("not for me")


@app.task(name="beside.rejects", acks_late=True)  # type: ignore[untyped-decorator]
def rejects() -> None:
    raise exceptions.Reject("not for me", requeue=False)


@app.task(name="beside.retries", bind=True, max_retries=1)  # type: ignore[untyped-decorator]
def retries(self: Any) -> str:
    if self.request.retries:
        return "done"
    try:
        raise leak()
    except ConnectionError as exc:
        raise self.retry(countdown=0, exc=exc) from exc


@app.task(name="beside.gives_up", bind=True, max_retries=1)  # type: ignore[untyped-decorator]
def gives_up(self: Any) -> None:
    try:
        raise leak()
    except ConnectionError as exc:
        raise self.retry(countdown=0, exc=exc) from exc


@app.task(name="beside.works")  # type: ignore[untyped-decorator]
def works() -> str:
    return "done"


def _no_logging(**_: Any) -> None:
    """Tests that come later read what is logged."""


@pytest.fixture(scope="module", autouse=True)
def worker() -> Iterator[None]:
    celery.signals.setup_logging.connect(_no_logging)
    with start_worker(app, pool="threads", perform_ping_check=False, loglevel="CRITICAL"):
        yield
    celery.signals.setup_logging.disconnect(_no_logging)


@pytest.fixture(params=["before", "after"])
def telemetry(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Telemetry]:
    """Stock is switched on before everylayer, as by `opentelemetry-instrument`, or after it."""
    counts: dict[str, int] = {}
    monkeypatch.setattr(failsafe, "_counts", counts)
    instrumentor = stock.CeleryInstrumentor()
    switches = [instrumentor.instrument, everylayer.celery.instrument]
    for switch in switches if request.param == "before" else reversed(switches):
        switch()
    try:
        with session() as found:
            yield found
            # A result is there before its task's signals are: they must not come in the next test.
            works.delay().get(timeout=30, interval=0.01)
            runs(found, lambda span: span.name == "run/beside.works")
    finally:
        everylayer.celery.uninstrument()
        instrumentor.uninstrument()
    assert counts == {}


def ask(telemetry: Telemetry, task: Any) -> str:
    """Have `task` done for a request; return the state that it ended in."""
    tracer = telemetry.provider.get_tracer("web")
    with tracer.start_as_current_span("POST /orders", kind=SpanKind.SERVER):
        result = task.delay()
    if task in (ignores, rejects):
        return "none"  # There is no result to wait for.
    with contextlib.suppress(Exception):
        result.get(timeout=10, interval=0.01)
    return str(result.state)


def runs(telemetry: Telemetry, wanted: Any, count: int = 1) -> list[ReadableSpan]:
    spans = telemetry.wait(lambda found: len([s for s in found if wanted(s)]) >= count)
    return [span for span in spans if wanted(span)]


def of_tasks(span: ReadableSpan) -> bool:
    return span.name.startswith("run/")


def of(telemetry: Telemetry, count: int = 1) -> tuple[list[ReadableSpan], list[Event]]:
    """Return the spans of the tasks, and the events on any span."""
    spans = runs(telemetry, of_tasks, count)
    assert len(spans) == count
    found = error_events(telemetry.spans)
    assert all(of_tasks(one.span) for one in found)
    assert not any(span.name.endswith("(late)") for span in telemetry.spans)
    assert SECRET not in "".join(span.to_json() for span in telemetry.spans)
    return spans, [one.event for one in found]


def ours(event: Event, task: str, *, handled: bool = False) -> dict[str, Any]:
    attributes = dict(event.attributes or {})
    assert attributes["everylayer.layer.name"] == task
    assert attributes["everylayer.layer.kind"] == "work"
    assert attributes.get("everylayer.handled", False) is handled
    assert attributes["code.function.name"]
    assert "exception.escaped" not in attributes
    return attributes


def test_the_one_event_is_ours_and_redacted(telemetry: Telemetry) -> None:
    ask(telemetry, fails)
    (span,), (event,) = of(telemetry)
    found = ours(event, "beside.fails")
    assert found["exception.type"] == "ConnectionError"
    assert "no answer from postgres://" in found["exception.message"]
    assert "KeyError: 'left'" in found["exception.stacktrace"]
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == found["exception.message"]
    assert (span.attributes or {})["error.type"] == "ConnectionError"


def test_one_that_cannot_be_pickled_is_told_under_its_own_name_alone(
    telemetry: Telemetry,
) -> None:
    ask(telemetry, unpickled)
    (span,), (event,) = of(telemetry)
    assert ours(event, "beside.unpickled")["exception.type"].endswith(".OutOfStock")
    assert span.status.status_code is StatusCode.ERROR
    assert "UnpickleableExceptionWrapper" not in span.to_json()


def test_one_without_a_text_is_told(telemetry: Telemetry) -> None:
    ask(telemetry, hostile)
    (span,), (event,) = of(telemetry)
    assert ours(event, "beside.hostile")["exception.type"].endswith(".Hostile")
    assert span.status.status_code is StatusCode.ERROR


def test_a_soft_time_limit_is_an_error_of_the_task(telemetry: Telemetry) -> None:
    ask(telemetry, soft)
    (span,), (event,) = of(telemetry)
    assert ours(event, "beside.soft")["exception.type"].endswith("SoftTimeLimitExceeded")
    assert span.status.status_code is StatusCode.ERROR


def test_what_a_task_may_throw_is_handled(telemetry: Telemetry) -> None:
    ask(telemetry, throws)
    (span,), (event,) = of(telemetry)
    assert ours(event, "beside.throws", handled=True)["exception.type"] == "KeyError"
    assert span.status.is_unset


@pytest.mark.parametrize("task", [ignores, rejects], ids=["Ignore", "Reject"])
def test_what_is_ignored_or_rejected_is_no_error(telemetry: Telemetry, task: Any) -> None:
    ask(telemetry, task)
    (span,), events = of(telemetry)
    assert events == []
    assert span.status.is_unset


def test_a_retry_is_no_error_and_its_reason_keeps_no_secret(telemetry: Telemetry) -> None:
    assert ask(telemetry, retries) == "SUCCESS"
    spans, (event,) = of(telemetry, 2)
    ours(event, "beside.retries", handled=True)
    assert all(span.status.is_unset for span in spans)
    (reason,) = [
        str(value)
        for span in spans
        for key, value in (span.attributes or {}).items()
        if key == "celery.retry.reason"
    ]
    assert reason.startswith("Retry in 0s: ConnectionError('no answer from postgres://")


def test_after_the_last_retry_it_is_an_error(telemetry: Telemetry) -> None:
    assert ask(telemetry, gives_up) == "FAILURE"
    spans, (first, second) = of(telemetry, 2)
    ours(first, "beside.gives_up", handled=True)
    ours(second, "beside.gives_up")
    assert [span.status.is_unset for span in spans] == [True, False]


def test_a_task_that_works_leaves_nothing(telemetry: Telemetry) -> None:
    assert ask(telemetry, works) == "SUCCESS"
    (span,), events = of(telemetry)
    assert events == []
    assert "everylayer" not in span.to_json()


def test_an_eager_task_tells_on_each_of_its_spans(telemetry: Telemetry) -> None:
    app.conf.task_always_eager = True
    try:
        with (
            pytest.raises(ConnectionError),
            telemetry.provider.get_tracer("web").start_as_current_span("POST /orders") as sent,
        ):
            fails.delay().get()
    finally:
        app.conf.task_always_eager = False
    found = error_events(telemetry.spans)
    assert [one.span.name for one in found][:1] == ["run/beside.fails"]
    ours(found[0].event, "beside.fails")
    assert found[0].span.status.status_code is StatusCode.ERROR
    assert len({one.span.name for one in found}) == len(found)
    assert SECRET not in found[0].span.to_json()
    assert not trace.get_current_span().get_span_context().is_valid
    assert sent.get_span_context().is_valid
