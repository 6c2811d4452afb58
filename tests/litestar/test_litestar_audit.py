"""The audit of Litestar apps: the chain, and what arrives of a fault at each place."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from litestar import Litestar
from litestar._asgi.routing_trie import mapping
from litestar.logging.config import LoggingConfig
from litestar.logging.standard import LoggingQueueListener
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

import litestar_audit_apps as apps
from contract.drive_trials import Kept, all_arrived, layer_of, tried
from contract.telemetry import Telemetry
from everylayer.audit.adapter import Opened
from everylayer.audit.model import SHAPES, Arm, Shape
from everylayer.audit.neutral import Neutral
from everylayer.audit.plan import LOOK, walk
from everylayer.audit.verdict import judge
from everylayer_litestar.audit import LitestarAdapter, logs, stock
from everylayer_litestar.instrumentor import EveryLayerLitestarInstrumentor
from everylayer_litestar.patches import PATCHES
from litestar_kit import OpenTelemetryConfig, OpenTelemetryPlugin

TARGETS = [
    (Litestar, "__init__"),
    (Litestar, "_create_asgi_handler"),
    (mapping, "build_route_middleware_stack"),
    (LoggingQueueListener, "start"),
]


def undo() -> None:
    """Take back what `prepare` has done: a process of an audit's does it once."""
    instrumentor = EveryLayerLitestarInstrumentor()
    if instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.uninstrument()
    PATCHES.undo()
    stock.PATCH.undo()
    logs.begin()


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    undo()
    before = [getattr(owner, name) for owner, name in TARGETS]
    yield
    undo()
    assert [getattr(owner, name) for owner, name in TARGETS] == before


def quiet(**more: Any) -> Litestar:
    return apps.application(logging_config=None, **more)


def opened(make: Any = quiet, arm: Arm = "everylayer", shape: Shape = "raised") -> Opened:
    undo()
    adapter = LitestarAdapter()
    adapter.prepare(arm)
    app = make()
    assert adapter.claims(app)
    return adapter.open(app, arm, shape)


# The chain


def test_the_chain_is_what_each_level_declares() -> None:
    nodes = opened().chain.nodes
    assert [(each.id, each.name, each.kind) for each in walk(nodes)] == [
        ("+0", "EveryLayer", "instrumentation"),
        ("+1", "OpenTelemetryInstrumentationMiddleware", "instrumentation"),
        ("0", "ExceptionHandlerMiddleware", "class"),
        ("1", "Outer", "class"),
        ("2", "Recovering", "class"),
        ("3", "Plain", "class"),
        ("4", "Abstract", "class"),
        ("5", "RateLimitMiddleware", "class"),
        ("6", "AllowedHostsMiddleware", "class"),
        ("7", "before", "hook"),
        ("8", "page", "endpoint"),
        ("9", "/api", "mount"),
        ("9.0", "/orders", "mount"),
        ("9.0.0", "closure.layer", "function"),
        ("9.0.1", "checked", "hook"),
        ("9.0.2", "connection", "hook"),
        ("9.0.3", "Orders.order", "endpoint"),
        ("9.0.4", "Orders.lost", "endpoint"),
        ("9.0.5", "Orders.slow", "endpoint"),
        ("9.0.6", "missing", "handler"),
        ("9.1", "/users", "mount"),
        ("9.1.0", "closure.layer", "function"),
        ("9.1.1", "checked", "hook"),
        ("9.1.2", "Users.user", "endpoint"),
        ("10", "GET /stream", "mount"),
        ("10.0", "unchanged", "function"),
        ("10.1", "Plain", "class"),
        ("10.2", "stream", "endpoint"),
        ("11", "talk", "endpoint"),
        ("12", "after", "hook"),
        ("13", "stamp", "hook"),
        ("14", "afterwards", "hook"),
        ("15", "noted", "handler"),
    ]
    known = {each.id: each for each in walk(nodes)}
    assert known["9.0"].seam == "Orders"
    assert known["9.0.3"].seam.startswith("GET /api/orders: ")
    assert known["8"].seam.startswith("GET / /home: ")
    assert known["9.0.6"].seam.startswith("LookupError: ")
    assert known["9.0.2"].phases == ("before", "teardown")
    assert known["1"].phases == ("before", "after", "stream")
    assert known["5"].phases == known["6"].phases == ()


def test_each_arm_and_shape_has_the_same_places() -> None:
    arms: tuple[Arm, ...] = ("bare", "stock", "everylayer")
    found = [opened(arm=arm).chain.points.keys() for arm in arms]
    found += [opened(shape=shape).chain.points.keys() for shape in SHAPES[1:]]
    assert all(each == found[0] for each in found)
    assert len(found[0]) > 40


def test_an_app_that_serves_has_no_place_at_the_second_message() -> None:
    app = quiet()
    chain = LitestarAdapter().chain(app)
    names = {each.name: each.phases for each in walk(chain.nodes)}
    assert names["Outer"] == ("before", "after")
    assert names["page"] == ("before", "after", "stream", "background")


# Faults


@pytest.mark.parametrize(
    ("path", "least", "shape"),
    [
        ("/stream", 20, "raised"),
        ("/api/orders/slow", 23, "raised"),
        *(("/api/orders", 25, shape) for shape in SHAPES),
    ],
)
def test_every_fault_arrives(path: str, least: int, shape: Shape, telemetry: Telemetry) -> None:
    kept = Kept(telemetry)
    bare = tried(opened(arm="bare", shape=shape), "bare", shape, kept, path)
    app = opened(shape=shape)
    known = {node.id: node for node in walk(app.chain.nodes)}
    ours = tried(app, "everylayer", shape, kept, path)
    reached = all_arrived(bare, ours)
    assert ours[LOOK].answer.status == 200
    assert len(reached) >= least
    for fault in reached:
        if shape == "raised" and fault.phase in ("before", "after"):
            assert layer_of(ours[fault]) == known[fault.node].name


def test_stock_alone_loses_all(telemetry: Telemetry) -> None:
    trials = tried(opened(arm="stock"), "stock", "raised", Kept(telemetry))
    put = [fault for fault in trials if fault.error == "error" and trials[fault].reached]
    assert len(put) > 15
    assert not any(judge(f, (trials[f].answer,) * 2, trials[f]).event for f in put)


def test_each_shape_deals_with_the_error(telemetry: Telemetry) -> None:
    said = {}
    for shape in SHAPES:
        trials = tried(opened(arm="bare", shape=shape), "bare", shape, Kept(telemetry))
        by_place = {(fault.node, fault.phase): trial for fault, trial in trials.items()}
        places = by_place["1", "before"], by_place["8", "before"]
        said[shape] = [(trial.answer.status, trial.translated) for trial in places]
    assert said == {
        "raised": [(500, False), (500, False)],
        "swallowed": [(200, False), (200, False)],
        "translated": [(500, True), (503, True)],
    }


def test_what_answers_in_place_of_a_handler_is_not_its_response(telemetry: Telemetry) -> None:
    trials = tried(opened(arm="bare"), "bare", "raised", Kept(telemetry))
    fault = next(each for each in trials if (each.node, each.phase) == ("3", "before"))
    assert trials[fault].answer.status == 503
    assert "8" in {visit.node for visit in trials[LOOK].visits if visit.phase == "stream"}
    assert "8" not in {visit.node for visit in trials[fault].visits}


def test_what_several_routes_share_is_told_apart(telemetry: Telemetry) -> None:
    trials = tried(opened(arm="bare"), "bare", "raised", Kept(telemetry), "/api/users")
    visited = [visit.node for visit in trials[LOOK].visits if visit.phase == "before"]
    assert visited == ["1", "2", "3", "4", "9.1.0", "9.1.1", "7", "9.1.2", "12"]


def test_an_exception_handler_is_that_of_the_controller(telemetry: Telemetry) -> None:
    trials = tried(opened(arm="bare"), "bare", "raised", Kept(telemetry), "/api/orders/lost")
    assert trials[LOOK].answer.status == 404
    assert "9.0.6" in {visit.node for visit in trials[LOOK].visits}


# What stands around


def with_plugin() -> Litestar:
    return quiet(plugins=[OpenTelemetryPlugin(OpenTelemetryConfig())])


def in_the_list() -> Litestar:
    return Litestar([apps.page], middleware=[OpenTelemetryConfig().middleware], logging_config=None)


@pytest.mark.parametrize("make", [quiet, with_plugin, in_the_list])
def test_an_app_has_one_server_span(make: Any, telemetry: Telemetry) -> None:
    found = opened(make, "stock")
    assert found.stock == ""
    trial = tried(found, "stock", "raised", Kept(telemetry))[LOOK]
    names = [(span.kind, span.name) for span in trial.spans if "http" not in span.name]
    assert [kind for kind, _ in names] == ["SERVER"]


def test_what_starts_the_span_around_the_app_is_enough(telemetry: Telemetry) -> None:
    kept = Kept(telemetry)
    for arm in ("stock", "everylayer"):
        undo()
        adapter = LitestarAdapter()
        adapter.prepare(arm)
        around = Neutral([adapter]).open(OpenTelemetryMiddleware(quiet()), arm, "raised")
        assert around.stock == ""
        assert around.host == "shop.example"
        look = tried(around, arm, "raised", kept)[LOOK]
        names = [span.kind for span in look.spans if "http" not in span.name]
        assert names == ["SERVER"]


def test_stock_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*sys.modules]:
        if name.startswith(("litestar.plugins.opentelemetry", "litestar.contrib.opentelemetry")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry.instrumentation.asgi", None)
    found = opened(lambda: Litestar([apps.page], logging_config=None), "stock")
    assert "pip install opentelemetry-instrumentation-asgi" in found.stock


def test_a_thread_for_logs_begins_when_the_app_is_opened() -> None:
    adapter = LitestarAdapter()
    adapter.prepare("bare")
    before = threading.active_count()
    app = Litestar([apps.page], logging_config=LoggingConfig())
    queues = len(logs._waiting)
    assert threading.active_count() == before
    adapter.open(app, "bare", "raised")
    assert threading.active_count() == before + queues
