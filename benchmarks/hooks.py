"""What costs where nothing fails: what is switched on once and then stands in the way of all.

The plain side is the same work with it switched off.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import format_span_id, format_trace_id

import everylayer

from . import boundaries, services
from .pairs import Pair, Side

CALLS = 100

Run = AbstractContextManager[Callable[[], object]]


def pairs() -> dict[str, Pair]:
    """Return what is counted."""
    within: dict[str, Callable[[bool], Run]] = {
        'Thread, detached="record"': partial(_detached, boundaries.threads),
        'ThreadPoolExecutor.submit, detached="record"': partial(_detached, boundaries.submits),
        'create_task, detached="record"': partial(_detached, boundaries.creates),
        "a log record, TraceFilter / one by hand": _logged,
        "a Celery task, eager": _celery,
    }
    outside: dict[str, Callable[[bool], Run]] = {
        'error_context="send", Flask': partial(_answering, services.flask),
        'error_context="send", Starlette': partial(_answering, services.starlette),
        "a span of a tenant, TenantIdGenerator": _span,
    }
    found = {}
    for inside, cases in ((True, within), (False, outside)):
        for name, make in cases.items():
            calls = boundaries.CALLS if "detached" in name else CALLS
            found[name] = Pair(partial(make, False), partial(make, True), calls, inside=inside)
    return found


def _detached(side: Side, ours: bool) -> Run:
    everylayer.configure(detached="record" if ours else "off")
    return side()


def _answering(make: Callable[..., Run], ours: bool) -> Run:
    return make("off", error_context="send" if ours else "off")


class _ByHand(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        ids = trace.get_current_span().get_span_context()
        record.trace_id = format_trace_id(ids.trace_id)
        record.span_id = format_span_id(ids.span_id)
        return True


@contextlib.contextmanager
def _logged(ours: bool) -> Iterator[Callable[[], object]]:
    logger = logging.getLogger("benchmark")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    handler = logging.StreamHandler(io.StringIO())
    handler.setFormatter(logging.Formatter("%(asctime)s %(trace_id)s %(span_id)s %(message)s"))
    handler.addFilter(everylayer.TraceFilter() if ours else _ByHand())
    logger.addHandler(handler)
    yield _repeated(lambda: logger.info("order %s", 7))


@contextlib.contextmanager
def _celery(ours: bool) -> Iterator[Callable[[], object]]:
    from celery import Celery
    from opentelemetry.instrumentation.celery import CeleryInstrumentor

    trace.set_tracer_provider(TracerProvider())
    app = Celery("benchmark", broker="memory://", backend="cache+memory://")
    app.conf.task_always_eager = True
    CeleryInstrumentor().instrument()  # type: ignore[no-untyped-call]
    if ours:
        import everylayer.celery

        everylayer.celery.instrument()
    task = app.task(name="work")(boundaries.work)
    yield _repeated(lambda: task.delay().get())


@contextlib.contextmanager
def _span(ours: bool) -> Iterator[Callable[[], object]]:
    made: Any = everylayer.TenantIdGenerator(4096) if ours else RandomIdGenerator()
    tracer = TracerProvider(id_generator=made).get_tracer("benchmark")
    with everylayer.use_tenant("acme"):
        yield _repeated(lambda: tracer.start_span("GET /").end())


def _repeated(call: Callable[[], object]) -> Callable[[], object]:
    def each() -> None:
        for _ in range(CALLS):
            call()

    return each
