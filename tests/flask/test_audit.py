"""The chain that the audit reads is the one that runs, and its names are those in spans."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flask
import pytest
from flask import Flask
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from werkzeug.exceptions import NotFound

import flask_audit_apps as apps
from contract import drive
from contract.responses import Run
from contract.telemetry import Telemetry, error_events, server_spans
from everylayer.audit.adapter import Opened
from everylayer.audit.model import ARMS, SHAPES, Arm, ChainNode, Phase, Shape
from everylayer.audit.plan import walk
from everylayer_flask import EveryLayerMiddleware
from everylayer_flask.audit import FlaskAdapter
from everylayer_flask.instrumentor import EveryLayerFlaskInstrumentor

Make = Callable[[], Any]

# Each app, and which points a GET / does not come to: how their id and phase begin.
APPS: dict[Make, tuple[str, ...]] = {
    apps.plain: (),
    apps.hooked: ("0.9.", "0.12."),
    apps.signalled: (),
    apps.of_blueprints: ("0.1.1.",),
    apps.of_classes: ("0.2.", "0.3.", "0.4."),
    apps.of_one_factory: ("0.1.",),
    apps.asynchronous: (),
    apps.streaming: (),
    # Its generators do not close what they read.
    apps.layered: ("8.1.teardown",),
    apps.wrapped: ("3.9.", "3.12."),
    apps.mounted: ("1.1.", "1.2."),
    apps.instrumenting: (),
}
ALL = pytest.mark.parametrize("make", APPS, ids=[make.__name__ for make in APPS])


class Fault(Exception):
    """What is put into an app."""


@pytest.fixture(autouse=True)
def nothing_stays_instrumented() -> Iterator[None]:
    yield
    uninstrument()


def uninstrument() -> None:
    for instrumentor in (EveryLayerFlaskInstrumentor(), FlaskInstrumentor()):
        if instrumentor.is_instrumented_by_opentelemetry:
            instrumentor.uninstrument()


def opened(make: Make, arm: Arm = "everylayer", shape: Shape = "raised") -> Opened:
    adapter = FlaskAdapter()
    adapter.prepare(arm)
    app = make()
    assert adapter.claims(app)
    return adapter.open(app, arm, shape)


def own(app: Opened) -> list[ChainNode]:
    return [node for node in walk(app.chain.nodes) if node.kind != "instrumentation"]


def get(app: Opened, path: str = "/") -> Run:
    # An error may keep Flask from taking its contexts off.
    return contextvars.copy_context().run(drive.run_wsgi, app.app, drive.environ(path))


@dataclass
class Tried:
    """What came of one fault: where it was put, whether that was reached, the names in the span."""

    node: ChainNode
    phase: Phase
    reached: bool
    names: list[str]


def tried(app: Opened, telemetry: Telemetry, path: str = "/") -> list[Tried]:
    """Put a fault at every point of `app`, one request each."""
    found = []
    nodes = {node.id: node for node in walk(app.chain.nodes)}
    for (node_id, phase), point in app.chain.points.items():
        token, reached = f"{node_id} {phase}", []

        def visit(token: str = token, reached: list[str] = reached) -> None:
            reached.append(token)
            raise Fault(token)

        telemetry.clear()
        point.arm(visit)
        try:
            get(app, path)
        finally:
            point.disarm()
        names = [
            str(values.get("everylayer.layer.name"))
            for values in (event.event.attributes or {} for event in error_events(telemetry.spans))
            if values.get("exception.message") == token
        ]
        found.append(Tried(nodes[node_id], phase, bool(reached), names))
    return found


@ALL
def test_a_fault_at_each_point_is_named_as_the_chain_says(make: Make, telemetry: Telemetry) -> None:
    for one in tried(opened(make), telemetry):
        expected = not f"{one.node.id}.{one.phase}".startswith(APPS[make] or ("never",))
        assert (one.node.id, one.phase, one.reached) == (one.node.id, one.phase, expected)
        assert one.names == ([one.node.name] if expected else [])


def test_an_error_handler_is_a_point_too(telemetry: Telemetry) -> None:
    found = [one for one in tried(opened(apps.hooked), telemetry, "/missing") if one.reached]
    of_handlers = [one for one in found if one.node.kind == "handler"]
    assert [(one.phase, one.names) for one in of_handlers] == [
        ("before", ["hooked.missing"]),
        ("after", ["hooked.missing"]),
    ]


@ALL
def test_the_chain_is_the_same_in_all_arms_and_shapes(make: Make) -> None:
    chains = []
    for arm, shape in [(arm, SHAPES[0]) for arm in ARMS] + [(ARMS[-1], s) for s in SHAPES[1:]]:
        app = opened(make, arm, shape)
        uninstrument()
        nodes = own(app)
        chains.append([(n.id, n.name, n.kind, n.where, n.mode, n.seam, n.phases) for n in nodes])
        assert set(app.chain.points) == {(n.id, phase) for n in nodes for phase in n.phases}
    assert chains[0]
    for chain in chains[1:]:
        assert chain == chains[0]


def listed(app: Opened) -> list[tuple[str, str, str]]:
    return [(node.id, node.name, node.kind) for node in own(app)]


def test_hooks_in_the_order_in_which_they_run() -> None:
    assert listed(opened(apps.hooked))[1:] == [
        ("0.0", "Sessions.open_session", "hook"),
        ("0.1", "hooked.prepare", "hook"),
        ("0.2", "hooked.authenticate", "hook"),
        ("0.3", "hooked.authorize", "hook"),
        ("0.4", "hooked.warm_up", "hook"),
        ("0.5", "Greeter", "hook"),
        ("0.6", "hooked.limit", "hook"),
        ("0.7", "static", "endpoint"),
        ("0.8", "plain.home", "endpoint"),
        ("0.9", "hooked.lost", "endpoint"),
        ("0.10", "Greeter.stamp", "hook"),
        ("0.11", "Sessions.save_session", "hook"),
        ("0.12", "hooked.missing", "handler"),
        ("0.13", "hooked.hang_up", "hook"),
        ("0.14", "hooked.disconnect", "hook"),
    ]


def test_layers_of_every_make() -> None:
    found = [node for node in own(opened(apps.layered)) if node.kind in ("class", "function")]
    assert [(node.name, node.kind, node.phases) for node in found] == [
        ("Watches", "class", ("before", "after", "stream")),
        ("WatchedBody.__next__", "class", ("stream",)),
        ("WatchedBody.close", "class", ("teardown",)),
        ("GeneratorThrough", "class", ("before", "stream")),
        ("chunked.layer", "function", ("before", "after", "stream")),
        ("SlottedThrough", "class", ("before", "after")),
        ("Bound.handle", "function", ("before", "after")),
        ("parted", "function", ("before", "after")),
        ("closure.layer", "function", ("before", "after")),
        ("ProxyFix", "class", ("before", "after")),
    ]
    assert found[0].seam == "Flask.__call__"
    assert found[0].where.startswith(f"{apps.__file__}:")
    lines = Path(apps.__file__).read_text().splitlines()
    assert lines[int(found[0].where.rpartition(":")[2]) - 1] == "class Watches(Through):"


def test_blueprints_and_mounts_are_a_tree() -> None:
    found = [entry for entry in listed(opened(apps.mounted)) if entry[2] in ("mount", "wsgi")]
    assert found == [
        ("1.0", "/", "mount"),
        ("1.0.0", "Flask", "wsgi"),
        ("1.1", "/admin", "mount"),
        ("1.1.1", "Flask", "wsgi"),
        ("1.1.1.1", "admin", "mount"),
        ("1.1.1.1.2", "users", "mount"),
        ("1.2", "/raw", "mount"),
        ("1.2.1", "Flask", "wsgi"),
    ]


def test_modes_are_told() -> None:
    modes = {node.name: node.mode for node in own(opened(apps.hooked))}
    assert (modes["hooked.warm_up"], modes["hooked.authenticate"]) == ("async", "sync")


@pytest.mark.parametrize("make", [apps.plain, apps.instrumenting, apps.imported_early])
@pytest.mark.parametrize("arm", ["stock", "everylayer"])
def test_each_app_is_instrumented_once(make: Make, arm: Arm, telemetry: Telemetry) -> None:
    app = opened(make, arm)
    assert app.stock == ""
    assert get(app).body == b"home"
    assert len(server_spans(telemetry.spans)) == 1
    ours = [node for node in walk(app.chain.nodes) if node.kind == "instrumentation"]
    assert [node.id for node in ours] == ["+0", "+1", "+2"]
    assert not any(node.phases for node in ours)


def test_the_bare_arm_has_no_telemetry(telemetry: Telemetry) -> None:
    app = opened(apps.plain, "bare")
    assert app.stock != ""
    assert get(app).body == b"home"
    assert telemetry.spans == ()


def put(app: Opened, name: str, phase: Phase = "before") -> Run:
    node = next(node for node in own(app) if node.name == name)

    def visit() -> None:
        raise Fault(name)

    point = app.chain.points[node.id, phase]
    point.arm(visit)
    try:
        return get(app)
    finally:
        point.disarm()


@pytest.mark.parametrize("name", ["plain.home", "hooked.prepare", "Through", "closure.layer"])
@pytest.mark.parametrize("arm", ARMS)
def test_a_swallowed_error_is_a_200(arm: Arm, name: str, telemetry: Telemetry) -> None:
    run = put(opened(apps.wrapped, arm, "swallowed"), name)
    assert (run.status, run.body, run.raised) == (200, b"swallowed", None)
    if arm == "everylayer":
        (event,) = error_events(telemetry.spans)
        assert (event.event.attributes or {})["everylayer.handled"] is True


def test_a_translated_error_has_its_cause(telemetry: Telemetry) -> None:
    escaped = put(opened(apps.wrapped, shape="translated"), "Through").raised
    assert escaped is not None
    assert escaped.type.__name__ == "Translated"
    chain = [
        (event.event.attributes or {})["exception.type"] for event in error_events(telemetry.spans)
    ]
    assert [str(name).rpartition(".")[2] for name in chain] == ["Fault", "Translated"]
    telemetry.clear()
    uninstrument()
    assert put(opened(apps.plain, shape="translated"), "plain.home").status == 500
    assert len(error_events(telemetry.spans)) == 2


@pytest.mark.parametrize("shape", ["swallowed", "translated"])
def test_a_shape_leaves_answers_and_the_apps_own_handler_alone(shape: Shape) -> None:
    def make() -> Any:
        app = apps.plain()
        app.register_error_handler(Exception, lambda error: ("mine", 418))
        return app

    assert put(opened(make, "bare", shape), "plain.home").status == 418
    assert get(opened(apps.plain, "bare", shape), "/nowhere").status == NotFound.code


class Hostile:
    """A hook that breaks whoever looks at it."""

    def __call__(self, *args: Any) -> None: ...

    @property
    def __func__(self) -> Any:
        raise RuntimeError("do not ask")


def test_what_cannot_be_read_stays_in_the_tree() -> None:
    def make() -> Any:
        app = apps.plain()
        app.before_request_funcs[None] = [Hostile(), lambda: None]
        app.error_handler_spec[None] = {None: 5}
        app.wsgi_app = apps.closure(app.wsgi_app)
        return app

    found = {node.name: node for node in own(opened(make, "bare"))}
    assert found["Hostile"].phases == ()
    assert found["error_handler_spec"].phases == ()
    assert found["make.<lambda>"].phases
    assert found["plain.home"].phases
    assert found["closure.layer"].phases


def bodies() -> Any:
    app = Flask("shop")
    app.add_url_rule("/text", "text", lambda: "text")
    app.add_url_rule("/empty", "empty", lambda: "")
    app.add_url_rule("/chunks", "chunks", lambda: flask.Response(iter([b"a", b"b"])))
    app.add_url_rule("/file", "file", lambda: flask.send_file(apps.__file__))
    return app


def test_a_stream_that_does_not_fail_is_the_response() -> None:
    app = opened(bodies, "bare")
    plain = {path: get(app, path) for path in ("/text", "/empty", "/chunks", "/file")}
    visits: list[int] = []
    points = [point for key, point in app.chain.points.items() if key[1] in ("stream", "teardown")]
    for point in points:
        point.arm(lambda: visits.append(1))
    for path, run in plain.items():
        visits.clear()
        again = get(app, path)
        assert (again.status, again.body, len(visits)) == (run.status, run.body, 2), path
    for point in points:
        point.disarm()
    visits.clear()
    assert get(app, "/text") == plain["/text"]
    assert visits == []
    assert "process_response" not in vars(app.app)


def test_an_apps_own_process_response_comes_back() -> None:
    app = opened(bodies, "bare")
    flask_app: Any = app.app
    own_one = flask_app.process_response
    flask_app.process_response = own_one
    point = next(point for key, point in app.chain.points.items() if key[1] == "teardown")
    point.arm(lambda: None)
    assert flask_app.process_response is not own_one
    point.disarm()
    assert flask_app.process_response is own_one


def asgi(scope: Any, receive: Any, send: Any) -> None: ...


@pytest.mark.parametrize(
    "target",
    [Flask, asgi, drive.run_wsgi, EveryLayerMiddleware(lambda environ, start: []), 5, None],
)
def test_what_is_no_flask_app_is_left_to_others(target: Any) -> None:
    assert not FlaskAdapter().claims(target)
