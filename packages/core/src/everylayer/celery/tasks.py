"""What a task has raised, by Celery's signals."""

from __future__ import annotations

from time import time_ns
from typing import Any

from celery import signals
from celery.exceptions import Ignore, Reject, Retry, TimeLimitExceeded
from opentelemetry import baggage, context, trace
from opentelemetry.trace import Span, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from .. import chain, settings
from ..boundaries import tenant
from ..boundaries.baggage import Allowed, allowed, read, written
from ..boundaries.stubs import tblib_or_explain
from ..failsafe import contained
from ..layers import WORK, Layer
from ..loose import ledger_for
from ..observer import observe
from . import beside_stock, results

ATTEMPT = "everylayer.task.attempt"
TASK_ID = "messaging.message.id"
_CARRIED = ("traceparent", "tracestate", "baggage")
# Celery makes attributes of a task's request of its headers.
_TENANT = "everylayer_tenant"
_ON_REQUEST = "_everylayer"
_RETRIED = "_everylayer_retried"
_PHASE = "task"
_MAX_LIMITS = 64

# Whose time limit has been told, and whether its own request was gone by then.
_limits: dict[Any, bool] = {}

_propagator = TraceContextTextMapPropagator()


def instrument() -> None:
    """Connect to Celery's signals; a second call changes nothing.

    Raises:
        ModuleNotFoundError: tblib is missing.
    """
    tblib_or_explain()
    for signal, receiver in _RECEIVERS:
        signal.connect(receiver, weak=False, dispatch_uid=f"everylayer.{receiver.__name__}")
    for signal, receiver in _BEFORE_STOCK:
        beside_stock.move_to_front(signal, receiver)
    results.patch()


def uninstrument() -> None:
    """Leave Celery as it was found."""
    for signal, receiver in _RECEIVERS:
        signal.disconnect(receiver, dispatch_uid=f"everylayer.{receiver.__name__}")
    results.unpatch()


def _published(headers: Any = None, **_: Any) -> None:
    _inject(headers)


@contained
def _inject(headers: Any) -> None:
    if not isinstance(headers, dict):
        return
    # Whoever has put theirs there knows of a span between this one and the task's.
    if "traceparent" not in headers:
        # Nothing else that lies in the context.
        _propagator.inject(headers)
        entries = baggage.get_all()
        kept = written(entries, _allowed()) if entries else ""
        if kept:
            headers.setdefault("baggage", kept)
    name = tenant.tenant()
    if name:
        headers.setdefault(_TENANT, name)


def _allowed() -> Allowed:
    return allowed(settings.current().baggage_keys)


def _started(task: Any = None, **_: Any) -> None:
    _attach(task)


@contained
def _attach(task: Any) -> None:
    request = task.request
    began = time_ns()
    token = None
    if not request.is_eager and not _stock_is_there():
        # Nothing else of this worker's own context: that is of the task before.
        token = context.attach(_sent_by(request))
    whose = None
    if not request.is_eager:
        whose = tenant.CURRENT.set(_tenant_of(request) or None)
    vars(request)[_ON_REQUEST] = (began, token, whose)


def _ended(task: Any = None, **_: Any) -> None:
    _detach(task)


@contained
def _detach(task: Any) -> None:
    state = vars(task.request)
    _, token, whose = state.pop(_ON_REQUEST, (0, None, None))
    if _RETRIED in state:
        beside_stock.redact_reason(trace.get_current_span(), state.pop(_RETRIED))
    if token is not None:
        context.detach(token)
    if whose is not None:
        tenant.leave(whose)


def _failed(sender: Any = None, task_id: Any = None, exception: Any = None, **_: Any) -> None:
    # What the signal shows may be a copy that can be pickled.
    current = chain.in_flight()
    actual = current if current is not None else exception
    _record(sender, task_id, actual, handled=bool(_is_expected(sender, actual)))
    if actual is not exception:
        beside_stock.pass_over(trace.get_current_span(), exception)


@contained
def _is_expected(task: Any, exc: Any) -> bool:
    """Tell whether the task's `throws` names `exc`: Celery does not call that an error."""
    return issubclass(type(exc), task.throws)


def _retried(sender: Any = None, request: Any = None, reason: Any = None, **_: Any) -> None:
    # To be tried again is no error; why it has to be is one that is dealt with.
    cause = getattr(reason, "exc", None)
    if request is not None:
        vars(request)[_RETRIED] = cause
    if isinstance(cause, BaseException):
        _record(sender, getattr(request, "id", None), cause, handled=True)


def _failed_inside(
    sender: Any = None, task_id: Any = None, exception: Any = None, request: Any = None, **_: Any
) -> None:
    # Around the task, whose own request is put away by now.
    _record(sender, task_id, exception, handled=False, said=request)


@contained
def _record(task: Any, task_id: Any, exc: Any, *, handled: bool, said: Any = None) -> None:
    if not isinstance(exc, BaseException) or issubclass(type(exc), (Ignore, Reject, Retry)):
        return
    request: Any = task.request
    gone = request.id != task_id
    if gone:
        # The worker of the task is gone, and this is the process that looks after it.
        request = _lost(task_id, said)
    if issubclass(type(exc), TimeLimitExceeded) and _is_repeated(task_id, gone):
        return
    layer = Layer(str(task.name), WORK)
    current = trace.get_current_span()
    if request.is_eager:
        # Within the sender's own request, which says what it means; a retry is on its way yet.
        if not handled:
            observe(exc, layer, _PHASE)
    elif current.is_recording():
        _on_span(current, exc, layer, request, task_id, handled)
    else:
        _on_late_span(exc, layer, request, task_id, handled)


def _on_span(
    span: Span, exc: BaseException, layer: Layer, request: Any, task_id: Any, handled: bool
) -> None:
    span.set_attribute(ATTEMPT, _attempt(request))
    if task_id:
        span.set_attribute(TASK_ID, str(task_id))
    ledger = ledger_for(span, settings.current())
    ledger.see(exc, layer=layer, phase=_PHASE, handled=handled)


def _on_late_span(
    exc: BaseException, layer: Layer, request: Any, task_id: Any, handled: bool
) -> None:
    sent = _sent_by(request)
    if not trace.get_current_span(sent).get_span_context().is_valid:
        return
    began = vars(request).get(_ON_REQUEST, (None,))[0]
    with tenant.use_tenant(_tenant_of(request) or None):
        span = trace.get_tracer("everylayer").start_span(
            f"{layer.name} (late)", context=sent, kind=SpanKind.CONSUMER, start_time=began
        )
        _on_span(span, exc, layer, request, task_id, handled)
        span.end()


def _is_repeated(task_id: Any, gone: bool) -> bool:
    """Tell whether Celery says once more, by its other way, that a task met its hard time limit.

    From 5.7 on both ways end in the signal, each with an exception of its own.
    """
    if _limits.pop(task_id, gone) is not gone:
        return True
    if len(_limits) >= _MAX_LIMITS:
        _limits.clear()
    _limits[task_id] = gone
    return False


def _attempt(request: Any) -> int:
    return int(getattr(request, "retries", 0) or 0) + 1


def _sent_by(request: Any) -> context.Context:
    """Return a context with the span that the task was sent from, and its allowed baggage."""
    values = {key: getattr(request, key, None) for key in _CARRIED}
    carrier = {key: value for key, value in values.items() if isinstance(value, str)}
    made = _propagator.extract(carrier, context.Context())
    if "baggage" in carrier:
        for key, value in read([carrier["baggage"]], _allowed()).items():
            made = baggage.set_baggage(key, value, made)
    return made


def _tenant_of(request: Any) -> str:
    return tenant.checked(getattr(request, _TENANT, None))


class _Lost:
    """What the message said of a task whose own request is gone."""

    id: Any = None
    is_eager = False
    retries = 0
    traceparent: Any = None
    tracestate: Any = None
    baggage: Any = None
    everylayer_tenant: Any = None


def _lost(task_id: Any, known: Any) -> _Lost:
    if not isinstance(known, dict):
        from celery.worker import state

        known = getattr(state.requests.get(task_id), "_request_dict", None)
    made = _Lost()
    if isinstance(known, dict):
        for key in ("id", "retries", *_CARRIED, _TENANT):
            setattr(made, key, known.get(key))
    return made


def _stock_is_there() -> bool:
    """Tell whether stock's instrumentation keeps a span for each task."""
    import sys

    stock: Any = sys.modules.get("opentelemetry.instrumentation.celery")
    return stock is not None and bool(stock.CeleryInstrumentor().is_instrumented_by_opentelemetry)


_RECEIVERS: tuple[tuple[Any, Any], ...] = (
    (signals.before_task_publish, _published),
    (signals.task_prerun, _started),
    (signals.task_postrun, _ended),
    (signals.task_failure, _failed),
    (signals.task_retry, _retried),
    (signals.task_internal_error, _failed_inside),
)
# What stock records of a failure goes through the guard, if that stands by then. It ends its span
# at `task_postrun`.
_BEFORE_STOCK = ((signals.task_failure, _failed), (signals.task_postrun, _ended))
