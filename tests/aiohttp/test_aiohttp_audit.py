"""The audit of aiohttp's applications: the chain, and what arrives of a fault at each place."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.web_app import Application
from opentelemetry.instrumentation.aiohttp_server import AioHttpServerInstrumentor

import aiohttp_audit_apps as apps
from contract.drive_trials import Kept, all_arrived, layer_of, tried
from contract.telemetry import Telemetry
from everylayer.audit.adapter import Opened
from everylayer.audit.context import find_losses
from everylayer.audit.drive import driving
from everylayer.audit.model import SHAPES, Answer, Arm, Request, Shape
from everylayer.audit.plan import LOOK, walk
from everylayer.audit.response import STARTED_TWICE
from everylayer.audit.verdict import judge
from everylayer.audit.wire import TargetError
from everylayer_aiohttp import patches
from everylayer_aiohttp.audit import AiohttpAdapter, stock
from everylayer_aiohttp.instrumentor import EveryLayerAiohttpInstrumentor

WRITES = (web.StreamResponse, "write"), (web.Response, "write_eof")
BEFORE = [getattr(owner, name) for owner, name in WRITES]


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    plain, made = web.Application, Application.__init__
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield
    assert web.Application is plain
    undo()
    assert Application.__init__ is made
    assert [getattr(owner, name) for owner, name in WRITES] == BEFORE


def undo() -> None:
    """Take back what `prepare` has done: a process of an audit's does it once."""
    for instrumentor in (EveryLayerAiohttpInstrumentor(), AioHttpServerInstrumentor()):
        if instrumentor.is_instrumented_by_opentelemetry:
            instrumentor.uninstrument()
    stock.PATCH.undo()
    patches.undo()


def opened(make: Any, arm: Arm = "everylayer", shape: Shape = "raised") -> Opened:
    undo()
    adapter = AiohttpAdapter()
    adapter.prepare(arm)
    app = make()
    assert adapter.claims(app)
    return adapter.open(app, arm, shape)


def answer_of(make: Any, request: Request, arm: Arm = "bare") -> Answer:
    with driving(opened(make, arm)) as driver:
        return driver.send(request)


# The chain


def test_the_chain_is_read_in_order() -> None:
    nodes = opened(apps.application).chain.nodes
    assert [(each.id, each.name, each.kind) for each in walk(nodes)] == [
        ("+0", "EveryLayer", "instrumentation"),
        ("+1", "AioHttpServerInstrumentor", "instrumentation"),
        ("0", "outer", "function"),
        ("1", "recovering", "function"),
        ("2", "Counting", "class"),
        ("3", "Counting", "class"),
        ("4", "limited.limit", "function"),
        ("5", "page", "endpoint"),
        ("6", "page", "endpoint"),
        ("7", "stream", "endpoint"),
        ("8", "Order", "endpoint"),
        ("9", "Query", "endpoint"),
        ("10", "gone", "endpoint"),
        ("11", "ending", "endpoint"),
        ("12", "/inner", "mount"),
        ("+2", "AioHttpServerInstrumentor", "instrumentation"),
        ("12.0", "outer", "function"),
        ("12.1", "limited.limit", "function"),
        ("12.2", "inner_page", "endpoint"),
        ("13", "stamp", "hook"),
    ]
    seams = {each.id: each.seam for each in walk(nodes)}
    assert seams["5"] == "GET /: a probe around it"
    assert seams["8"].startswith("GET /orders/{number}: ")
    own = [each for each in walk(nodes) if each.kind not in ("instrumentation", "mount")]
    assert all("aiohttp_audit_apps.py:" in each.where for each in own)


def test_each_arm_and_shape_has_the_same_places() -> None:
    found = [
        opened(apps.application, arm, shape).chain.points.keys()
        for arm in ("bare", "stock", "everylayer")
        for shape in SHAPES
    ]
    assert all(each == found[0] for each in found)
    assert len(found[0]) > 30


def test_the_chain_of_an_app_that_serves_is_read_too() -> None:
    app = apps.application()
    app.freeze()
    names = [node.name for node in walk(AiohttpAdapter().chain(app).nodes)]
    assert names[:2] == ["outer", "recovering"]
    assert names[-1] == "stamp"


# Faults


@pytest.mark.parametrize(
    ("path", "least"),
    [("/", 14), ("/stream", 14), ("/orders/7", 14), ("/query", 14), ("/inner/", 18)],
)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_fault_arrives(path: str, least: int, shape: Shape, telemetry: Telemetry) -> None:
    kept = Kept(telemetry)
    bare = tried(opened(apps.application, "bare", shape), "bare", shape, kept, path)
    app = opened(apps.application, "everylayer", shape)
    known = {node.id: node for node in walk(app.chain.nodes)}
    ours = tried(app, "everylayer", shape, kept, path)
    reached = all_arrived(bare, ours)
    assert ours[LOOK].answer.status == 200
    assert len(reached) >= least
    for fault in reached:
        if shape == "raised":
            assert layer_of(ours[fault]) == known[fault.node].name


def test_stock_alone_loses_most(telemetry: Telemetry) -> None:
    trials = tried(opened(apps.application, "stock"), "stock", "raised", Kept(telemetry))
    put = [fault for fault in trials if fault.error == "error" and trials[fault].reached]
    lost = [
        fault for fault in put if not judge(fault, (trials[fault].answer,) * 2, trials[fault]).event
    ]
    # It sees what leaves the outermost middlewares, and nothing of what `recovering` answers.
    assert {fault.node for fault in put} - {fault.node for fault in lost} == {"0", "1"}
    assert len(lost) > len(put) / 2


def test_each_shape_deals_with_the_error(telemetry: Telemetry) -> None:
    said = {}
    for shape in SHAPES:
        trials = tried(opened(apps.application, "bare", shape), "bare", shape, Kept(telemetry))
        fault = next(each for each in trials if (each.node, each.phase) == ("0", "before"))
        said[shape] = trials[fault].answer.status, trials[fault].translated
    assert said == {
        "raised": (500, False),
        "swallowed": (200, False),
        "translated": (500, True),
    }


def test_what_answers_in_place_of_a_handler_is_not_its_response(telemetry: Telemetry) -> None:
    trials = tried(opened(apps.application, "bare"), "bare", "raised", Kept(telemetry))
    fault = next(each for each in trials if (each.node, each.phase) == ("3", "before"))
    assert trials[fault].answer.status == 503
    assert "5" in {visit.node for visit in trials[LOOK].visits if visit.phase == "stream"}
    assert "5" not in {visit.node for visit in trials[fault].visits}


def test_layers_that_share_their_code_are_told_apart(telemetry: Telemetry) -> None:
    app = opened(apps.application, "bare")
    trials = tried(app, "bare", "raised", Kept(telemetry), "/inner/")
    visited = [visit.node for visit in trials[LOOK].visits if visit.phase == "before"]
    assert visited == ["0", "1", "2", "3", "4", "12.0", "12.1", "12.2"]
    # `outer` stands in both applications: outside of what recovers, and inside.
    codes = {f.node: t.answer.status for f, t in trials.items() if f.phase == "before"}
    assert (codes["0"], codes["12.0"]) == (500, 503)


def test_a_handler_of_two_routes_is_that_of_the_one_that_is_asked_for(telemetry: Telemetry) -> None:
    trials = tried(opened(apps.application, "bare"), "bare", "raised", Kept(telemetry), "/again")
    visited = {(visit.node, visit.phase) for visit in trials[LOOK].visits}
    assert {(node, phase) for node, phase in visited if node in ("5", "6")} == {
        ("6", "before"),
        ("6", "after"),
        ("6", "stream"),
    }


def test_a_middleware_that_is_a_factory_has_places_inside(telemetry: Telemetry) -> None:
    kept = Kept(telemetry)
    bare = tried(opened(apps.of_old_style, "bare"), "bare", "raised", kept)
    ours = tried(opened(apps.of_old_style), "everylayer", "raised", kept)
    for phase in ("before", "after"):
        fault = next(each for each in ours if (each.node, each.phase) == ("0", phase))
        verdict = judge(fault, (bare[fault].answer,) * 2, ours[fault])
        assert verdict.event, verdict.why


def test_the_span_that_stock_begins_for_an_inner_application_is_blamed_on_it(
    telemetry: Telemetry,
) -> None:
    app = opened(apps.application, "stock")
    looks: Any = {"stock": tried(app, "stock", "raised", Kept(telemetry), "/inner/")[LOOK]}
    (found,) = find_losses(app.chain.nodes, looks)
    assert found.kind == "other-trace"
    assert found.text.startswith("AioHttpServerInstrumentor: ")


# Answers


@pytest.mark.parametrize(
    ("request_", "status", "size"),
    [
        (Request(path="/?n=7"), 200, len("page 7")),
        (Request(method="HEAD"), 200, 0),
        (Request(path="/stream"), 200, len("part 0\n") * 3),
        (Request(path="/nowhere"), 404, len("404: Not Found")),
        (Request(method="POST"), 405, len("405: Method Not Allowed")),
    ],
)
def test_an_answer_is_what_a_client_gets(request_: Request, status: int, size: int) -> None:
    found = answer_of(apps.application, request_)
    assert (found.status, found.size, found.escaped, found.hazards) == (status, size, "", ())
    assert ("x-stamp", "1") in found.headers
    assert "date" not in {name.lower() for name, _ in found.headers}


@pytest.mark.parametrize(("path", "left"), [("/gone", "CancelledError"), ("/ending", "SystemExit")])
def test_a_connection_that_is_cut_has_no_answer(path: str, left: str) -> None:
    with driving(opened(apps.application, "bare")) as driver:
        found = driver.send(Request(path=path))
        assert found.status is None
        assert found.escaped.startswith(left)
        assert driver.send(Request()).status == 200


def test_a_second_answer_is_a_hazard(telemetry: Telemetry) -> None:
    trials = tried(opened(apps.twice_answered, "bare"), "bare", "raised", Kept(telemetry))
    hazards = {fault.phase: trial.answer.hazards for fault, trial in trials.items() if fault.node}
    assert STARTED_TWICE in hazards["stream"]


# What is told


def test_an_inner_application_is_not_audited_by_itself() -> None:
    inner = web.Application()
    web.Application().add_subapp("/inner", inner)
    with pytest.raises(TargetError, match="added to another one: name the function"):
        opened(lambda: inner)


def test_an_app_that_does_not_start_says_what_it_needs() -> None:
    with (
        pytest.raises(TargetError, match="nobody listens at 5432"),
        driving(opened(apps.without_its_database)),
    ):
        pass


def test_stock_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    package = "opentelemetry.instrumentation"
    monkeypatch.delattr(f"{package}.aiohttp_server")
    monkeypatch.setitem(sys.modules, f"{package}.aiohttp_server", None)
    found = opened(apps.application, "stock")
    assert "pip install opentelemetry-instrumentation-aiohttp-server" in found.stock


def test_stock_that_does_not_fit_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = "instrumentation_dependencies"
    monkeypatch.setattr(AioHttpServerInstrumentor, asked, lambda self: ("aiohttp >= 999",))
    found = opened(apps.application, "stock")
    assert "does not fit the aiohttp that is installed" in found.stock
    with driving(found) as driver:
        assert driver.send(Request()).status == 200


def test_an_app_that_brings_everylayer_and_stock_has_each_once() -> None:
    def make() -> web.Application:
        import everylayer_aiohttp

        app = apps.application()
        everylayer_aiohttp.setup(app)
        return app

    added = [n.name for n in opened(make).chain.nodes if n.kind == "instrumentation"]
    assert added == ["EveryLayer", "AioHttpServerInstrumentor"]
