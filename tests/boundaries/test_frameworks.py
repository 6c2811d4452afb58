"""Work that a view hands on is on the request's trace, once, with any framework."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import boundary_acts
import pytest
from boundary_acts import ACTS, ASYNC_ACTS, GROUP_ACTS, Act, Expected
from boundary_apps import APPS, starlette_async

from contract.telemetry import (
    LATE_SUFFIX,
    Telemetry,
    error_events,
    late_spans,
    parent_of,
    server_span,
    trace_ids,
    tree,
)


def found_in(telemetry: Telemetry) -> list[Expected]:
    return [
        Expected(
            str(values["exception.type"]).rpartition(".")[2],
            str(values["everylayer.layer.name"]),
            str(values["everylayer.layer.phase"]),
            bool(values["everylayer.handled"]),
            span.name.endswith(LATE_SUFFIX),
        )
        for span, event in error_events(telemetry.spans)
        if (values := event.attributes or {})
    ]


def check(telemetry: Telemetry, serve: Callable[[], Any], act: Act) -> None:
    boundary_acts.responded.clear()
    boundary_acts.threads.clear()
    assert serve().status == act.status
    boundary_acts.responded.set()
    for thread in boundary_acts.threads:
        thread.join(10)
    spans = telemetry.wait(lambda spans: len(error_events(spans)) >= len(act.events))
    assert found_in(telemetry) == act.events, tree(spans)
    server = server_span(spans)
    assert server.status.is_ok is (act.status < 500)
    assert all(parent_of(late, spans) is server for late in late_spans(spans))
    assert len(trace_ids(spans)) == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
@pytest.mark.parametrize("app", APPS, ids=lambda app: app.__name__)
def test_work_of_a_view(telemetry: Telemetry, app: Any, act: Act) -> None:
    with app(act.do) as serve:
        check(telemetry, serve, act)


@pytest.mark.parametrize("act", ASYNC_ACTS.values(), ids=ASYNC_ACTS)
def test_work_of_a_coroutine(telemetry: Telemetry, act: Act) -> None:
    with starlette_async(act.do) as serve:
        check(telemetry, serve, act)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.TaskGroup is of Python 3.11")
@pytest.mark.parametrize("act", GROUP_ACTS.values(), ids=GROUP_ACTS)
def test_a_group_of_tasks(telemetry: Telemetry, act: Act) -> None:
    with starlette_async(act.do) as serve:
        check(telemetry, serve, act)
