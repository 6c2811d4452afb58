"""Faults put one after the other into small apps, with a real SDK."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from trial_values import node

from everylayer.audit.adapter import Chain, Opened
from everylayer.audit.injected import Translated, message_of
from everylayer.audit.model import Arm, Fault, Request, Trial
from everylayer.audit.plan import LOOK
from everylayer.audit.store import Store
from everylayer.audit.trial import run_trials
from everylayer.failsafe import contained
from everylayer.faults.point import Switch

NODES = (node("0", "Layer"), node("1", "view", "endpoint"))


class Lab:
    """An app with two places in it, and what its spans are kept in."""

    def __init__(self) -> None:
        self.store = Store()
        provider = TracerProvider()
        provider.add_span_processor(self.store)
        self.tracer = provider.get_tracer("lab")
        self.layer, self.view, self.never = Switch(), Switch(), Switch()

    def opened(self, app: Any, interface: Any = "wsgi") -> Opened:
        points = {
            ("0", "before"): self.layer,
            ("1", "before"): self.view,
            ("1", "teardown"): self.never,
        }
        return Opened(app, interface, Chain(NODES, points))  # type: ignore[arg-type]

    def run(self, opened: Opened, *faults: Fault, arm: Arm = "everylayer") -> list[Trial]:
        found = list(run_trials(opened, Request(), faults, arm, self.store))
        assert [point.armed for point in (self.layer, self.view, self.never)] == [False] * 3
        return found

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        with self.tracer.start_as_current_span(name, kind=trace.SpanKind.SERVER):
            yield


@pytest.fixture
def lab() -> Lab:
    return Lab()


def fault(node_id: str, error: Any = "error", phase: Any = "before") -> Fault:
    return Fault(node_id, phase, "raised", f"fault-{node_id}-{error}", error)


def wsgi(lab: Lab, inside: Callable[[], None] = lambda: None) -> Any:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        with lab.span("request"):
            lab.layer.reached()
            inside()
            lab.view.reached()
            start_response("200 OK", [])
            return [b"fine"]

    return app


def test_each_fault_is_put_at_its_place_and_all_others_look(lab: Lab) -> None:
    first, second = fault("0"), fault("1")
    looked, outer, inner = lab.run(lab.opened(wsgi(lab)), LOOK, first, second)
    assert (looked.reached, looked.answer.status) == (True, 200)
    assert [visit.node for visit in looked.visits] == ["0", "1"]
    assert outer.answer.escaped == f"InjectedFault: {message_of(first)}"
    assert [visit.node for visit in outer.visits] == ["0"]
    assert [visit.node for visit in inner.visits] == ["0", "1"]
    assert inner.fault == second
    assert inner.arm == "everylayer"
    # The spans of one request alone.
    assert [span.name for span in inner.spans] == ["request"]
    assert inner.spans[0].events[0].attributes["exception.message"] == message_of(second)


def test_a_visit_tells_the_span_the_thread_and_the_function(lab: Lab) -> None:
    (looked,) = lab.run(lab.opened(wsgi(lab)), LOOK)
    visit = looked.visits[0]
    (span,) = looked.spans
    assert (visit.trace_id, visit.span_id) == (span.trace_id, span.span_id)
    assert visit.recording
    assert visit.thread == "MainThread"
    assert visit.task == ""
    assert visit.at == f"{__file__}:app"


def test_a_place_that_is_not_passed_gets_no_request(lab: Lab) -> None:
    requests: list[int] = []
    opened = lab.opened(wsgi(lab, lambda: requests.append(1)))
    (trial,) = lab.run(opened, fault("1", phase="teardown"))
    assert not trial.reached
    assert len(requests) == 1  # The look that comes first, if only faults are asked for.


def test_a_second_attempt_of_the_apps_works(lab: Lab) -> None:
    def retrying(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        try:
            lab.layer.reached()
        except Exception:
            lab.layer.reached()
        start_response("200 OK", [])
        return []

    _, trial = lab.run(lab.opened(retrying), LOOK, fault("0"))
    assert trial.reached
    assert trial.answer.status == 200
    assert len(trial.visits) == 2


def test_copies_of_the_context_are_told_from_fresh_ones(lab: Lab) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        lab.layer.reached()
        contextvars.copy_context().run(lab.layer.reached)
        contextvars.Context().run(lab.layer.reached)
        start_response("200 OK", [])
        return []

    first, second = lab.run(lab.opened(app), LOOK, LOOK)
    own, copied, fresh = [visit.context for visit in first.visits]
    assert own == copied
    assert fresh != own
    assert 0 not in (own, fresh)
    assert second.visits[0].context != own


def test_what_the_shapes_layer_raises_is_noted(lab: Lab) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        try:
            lab.layer.reached()
        except Exception as exc:
            raise Translated("instead") from exc
        start_response("200 OK", [])
        return []

    looked, trial = lab.run(lab.opened(app), LOOK, fault("0"))
    assert (looked.translated, trial.translated) == (False, True)


def test_everylayers_own_failures_are_counted_for_their_trial(lab: Lab) -> None:
    @contained
    def fail() -> None:
        raise LookupError

    looked, trial = lab.run(lab.opened(wsgi(lab, fail)), LOOK, fault("0"))
    assert (looked.own_failures, trial.own_failures) == (1, 0)


def test_a_span_that_is_left_is_noted(lab: Lab) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        lab.layer.reached()
        otel_context.attach(trace.set_span_in_context(lab.tracer.start_span("left")))
        start_response("200 OK", [])
        return []

    first, second = lab.run(lab.opened(app), LOOK, LOOK)
    assert first.leftover
    assert first.leftover != second.leftover
    # What one request leaves is not there in the next.
    assert second.visits[0].span_id == ""


def asgi(lab: Lab) -> Any:
    async def app(scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        if scope["type"] == "lifespan":
            return
        lab.layer.reached()
        await asyncio.create_task(view(), name="inner")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def view() -> None:
        lab.view.reached()

    return app


def test_tasks_share_the_context_and_have_their_names(lab: Lab) -> None:
    (looked,) = lab.run(lab.opened(asgi(lab), "asgi"), LOOK)
    outer, inner = looked.visits
    assert inner.task == "inner"
    assert outer.task not in ("", "inner")
    assert outer.context == inner.context


def test_a_task_is_cancelled_and_not_failed(lab: Lab) -> None:
    _, trial = lab.run(lab.opened(asgi(lab), "asgi"), LOOK, fault("0", "cancelled"))
    assert trial.reached
    assert trial.answer.escaped.startswith("CancelledError")
