"""What layers raise and handle by themselves: on the span where it is asked for, and only there."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Iterator
from typing import Any

import monitor_apps
import pytest
from monitor_acts import CASES, KEY_ERROR, Case
from opentelemetry.trace import SpanKind, StatusCode

from contract.telemetry import Telemetry, error_events
from everylayer import monitor
from everylayer.layers import Layer
from everylayer.settings import Settings, SettingsError

MONITORED = sys.version_info >= (3, 12)
needs_monitoring = pytest.mark.skipif(not MONITORED, reason="sys.monitoring is 3.12's")
each_app = pytest.mark.parametrize("app", monitor_apps.APPS, ids=lambda app: app.__name__)
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.act)


def watching() -> bool:
    return "everylayer.monitor" in map(sys.monitoring.get_tool, range(6))


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    # What pytest keeps of the log holds exceptions, and these hold their app.
    monkeypatch.setattr(logging.getLogger("monitored"), "disabled", True)


@pytest.fixture(autouse=True, scope="module")
def _all_let_go() -> Iterator[None]:
    yield
    gc.collect()
    assert not MONITORED or not watching()
    assert monitor._own == {}


def served(app: Any, act: str, status: int = 200, **settings: Any) -> tuple[Any, str]:
    monitor_apps.to_do[:] = [act]
    with app(status, **settings) as running:
        return running.run(), running.layer


def server_span(telemetry: Telemetry) -> Any:
    (span,) = [span for span in telemetry.spans if span.kind is SpanKind.SERVER]
    return span


@needs_monitoring
@each_case
@each_app
def test_what_a_layer_handles_is_on_the_span(telemetry: Telemetry, app: Any, case: Case) -> None:
    answer, layer = served(app, case.act, swallowed="monitor")
    assert (answer.status == 200) == (not case.fails)
    span = server_span(telemetry)
    events = [event for _, event in error_events([span])]
    found = [(e.attributes["exception.type"], e.attributes["everylayer.handled"]) for e in events]
    assert sorted(found) == sorted(case.events)
    assert (span.status.status_code is StatusCode.ERROR) == case.fails
    for event in events:
        assert event.attributes["everylayer.layer.name"] == layer
        swallowed = event.attributes["exception.type"] != "monitor_acts.Refused"
        assert (event.attributes["everylayer.layer.phase"] == "swallowed") == swallowed
    if case.fails:
        # What the layer could not deal with describes the failure, whatever it handled before.
        assert span.status.description in ("gone on", "translated", "in the end")


@needs_monitoring
@each_app
def test_it_is_an_error_where_the_response_is_a_5xx(telemetry: Telemetry, app: Any) -> None:
    answer, _ = served(app, "handles", 503, swallowed="monitor")
    assert answer.status == 503
    span = server_span(telemetry)
    ((_, event),) = error_events([span])
    assert event.attributes["everylayer.handled"] is False
    assert span.status.status_code is StatusCode.ERROR


@each_app
def test_nothing_is_watched_unless_asked_for(telemetry: Telemetry, app: Any) -> None:
    gc.collect()
    monitor_apps.to_do[:] = ["handles"]
    with app() as running:
        assert running.run().status == 200
        assert not MONITORED or not watching()
    assert error_events(telemetry.spans) == []


@needs_monitoring
@each_app
def test_the_id_is_given_back_with_the_app(telemetry: Telemetry, app: Any) -> None:
    monitor_apps.to_do[:] = ["handles"]
    with app(swallowed="monitor") as running:
        for _ in range(3):
            running.run()
        assert watching()
    del running
    gc.collect()
    assert not watching()


@needs_monitoring
def test_two_apps_share_the_id(telemetry: Telemetry) -> None:
    monitor_apps.to_do[:] = ["handles"]
    with monitor_apps.starlette(swallowed="monitor") as one:
        one.run()
        with monitor_apps.flask(swallowed="monitor") as two:
            two.run()
        del two
        gc.collect()
        assert watching()
        one.run()
    assert len(error_events(telemetry.spans)) == 3


class Owner:
    """Whose layers are watched, until it is collected."""

    def __init__(self) -> None:
        self.itself = self


@needs_monitoring
def test_the_last_app_may_be_collected_while_another_begins_to_watch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layer, codes = Layer("served", "app"), [served.__code__]
    gc.collect()
    monitor.watch(Owner(), layer, codes, lambda *_: None)
    begin = monitor._start

    def collecting() -> bool:
        begun = begin()
        gc.collect()
        return begun

    monkeypatch.setattr(monitor, "_start", collecting)
    owner = Owner()
    monitor.watch(owner, layer, codes, lambda *_: None)
    assert watching()
    monitor.leave(owner)
    assert not watching()


@needs_monitoring
def test_without_a_free_id_it_stays_off(
    telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    gc.collect()
    monitor._say_once.cache_clear()
    taken = [tool for tool in range(6) if sys.monitoring.get_tool(tool) is None]
    for tool in taken:
        sys.monitoring.use_tool_id(tool, "test")
    try:
        with caplog.at_level(logging.WARNING, "everylayer"):
            for _ in range(2):
                served(monitor_apps.flask, "handles", swallowed="monitor")
    finally:
        for tool in taken:
            sys.monitoring.free_tool_id(tool)
    assert [record.getMessage() for record in caplog.records if "sys.monitoring" in record.msg]
    assert len(caplog.records) == 1
    assert error_events(telemetry.spans) == []


@needs_monitoring
def test_instrumentors_let_go(telemetry: Telemetry) -> None:
    from starlette.applications import Starlette
    from starlette.middleware import Middleware

    from contract.drive import run_asgi, scope
    from everylayer_starlette.instrumentor import EveryLayerStarletteInstrumentor

    gc.collect()
    instrumentor = EveryLayerStarletteInstrumentor()
    instrumentor.instrument(swallowed="monitor")
    try:
        app = Starlette(middleware=[Middleware(monitor_apps.AsgiLayer)])
        monitor_apps.to_do[:] = ["handles"]
        assert run_asgi(app, scope()).status == 404
        assert watching()
    finally:
        instrumentor.uninstrument()
    assert not watching()
    ((_, event),) = error_events(telemetry.spans)
    assert event.attributes["exception.type"] == KEY_ERROR


@needs_monitoring
def test_litestars_instrumentor_lets_go(telemetry: Telemetry) -> None:
    from litestar import Litestar, get

    from contract.drive import run_asgi, scope
    from everylayer_litestar.instrumentor import EveryLayerLitestarInstrumentor

    @get("/", middleware=[monitor_apps.AsgiLayer])
    async def index() -> str:
        return ""

    gc.collect()
    instrumentor = EveryLayerLitestarInstrumentor()
    instrumentor.instrument(swallowed="monitor")
    try:
        app = Litestar([index], openapi_config=None)
        monitor_apps.to_do[:] = ["handles"]
        assert run_asgi(app, scope()).status == 200
        assert watching()
    finally:
        instrumentor.uninstrument()
    assert not watching()
    ((_, event),) = error_events(telemetry.spans)
    assert event.attributes["exception.type"] == KEY_ERROR


def test_the_setting_is_checked() -> None:
    with pytest.raises(SettingsError, match="one of off, monitor"):
        Settings(swallowed="on")  # type: ignore[arg-type]
    if MONITORED:
        assert Settings(swallowed="monitor").swallowed == "monitor"
    else:
        with pytest.raises(SettingsError, match=r"off, or Python 3\.12 or newer"):
            Settings(swallowed="monitor")
