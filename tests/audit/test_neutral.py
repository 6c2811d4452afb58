"""Plain WSGI and ASGI callables: their chain, without a call, and the points in it."""

from __future__ import annotations

import functools
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import everylayer_flask
import everylayer_starlette
from contract.telemetry import Telemetry, server_span, session
from everylayer.audit import drive
from everylayer.audit.adapter import Chain, Opened
from everylayer.audit.callables import interface_of
from everylayer.audit.model import Answer, ChainNode, Request
from everylayer.audit.neutral import Neutral
from everylayer.audit.wire import TargetError

APPS = Path(__file__).parent / "apps"


@pytest.fixture
def apps(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The plain apps, new for each test: opening one changes it."""
    monkeypatch.chdir(APPS)
    return new()


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    with session() as empty:
        yield empty


def new() -> Any:
    spec = importlib.util.spec_from_file_location("plain_apps", APPS / "plain.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["plain_apps"] = module  # Where `inspect` looks for the source of a class.
    spec.loader.exec_module(module)
    return module


def names(nodes: tuple[ChainNode, ...]) -> list[Any]:
    return [(node.id, node.name, node.kind, names(node.inner)) for node in nodes]


def send(opened: Opened, path: str = "/") -> Answer:
    with drive.driving(opened) as driver:
        return driver.send(Request(path=path))


def fail() -> None:
    raise ValueError("put here")


def test_the_chain_is_read_along_attributes_slots_closures_and_tables(apps: Any) -> None:
    opened = Neutral().open(apps.application, "bare", "raised")
    assert opened.interface == "wsgi"
    assert names(opened.chain.nodes) == [
        ("0", "Auth", "wsgi", []),
        ("1", "upper.layer", "function", []),
        (
            "2",
            "Mounts",
            "wsgi",
            [("2.0.0", "/other Auth", "mount", [("2.0.1", "other", "function", [])])],
        ),
        ("3", "Slotted", "wsgi", []),
        ("4", "endpoint", "endpoint", []),
    ]
    source = (APPS / "plain.py").read_text(encoding="utf-8").splitlines()
    first = opened.chain.nodes[0]
    file, _, line = first.where.partition(":")
    assert file == "plain.py"
    assert source[int(line) - 1] == "class Auth:"
    assert {node.phases for node in opened.chain.nodes} == {
        ("before", "after"),
        ("before", "after", "stream"),
        ("before", "after", "stream", "teardown"),
    }
    assert send(opened).status == 200
    assert send(opened, "/other").status == 202


def test_an_asgi_chain_is_async(apps: Any) -> None:
    nodes = Neutral().open(apps.asgi, "bare", "raised").chain.nodes
    assert [(node.name, node.mode, node.phases) for node in nodes] == [
        ("AsgiAuth", "async", ("before", "after", "stream")),
        ("asgi_endpoint", "async", ("before", "after", "stream")),
    ]


@pytest.mark.parametrize("name", ["application", "asgi", "partial", "endpoint"])
def test_a_fault_at_each_point_leaves_the_app_and_none_is_left_there(name: str, apps: Any) -> None:
    opened = Neutral().open(getattr(apps, name), "bare", "raised")
    plain = send(opened)
    assert (plain.status, plain.escaped, plain.hazards) == (200, "", ())
    for (node, phase), point in opened.chain.points.items():
        if "." in node:
            continue
        point.arm(fail)
        answer = send(opened)
        point.disarm()
        assert answer.escaped == "ValueError: put here", (node, phase)
        if phase in ("stream", "teardown"):
            assert answer.status == 200, (node, phase)
        assert send(opened) == plain, (node, phase)


@pytest.mark.parametrize("name", ["application", "asgi"])
def test_points_that_only_look_change_nothing(name: str, apps: Any) -> None:
    opened = Neutral().open(getattr(apps, name), "bare", "raised")
    plain = send(opened)
    passed: list[Any] = []
    for place, point in opened.chain.points.items():
        point.arm(functools.partial(passed.append, place))
    answer = send(opened)
    for point in opened.chain.points.values():
        point.disarm()
    assert answer == plain
    assert set(passed) == {place for place in opened.chain.points if "." not in place[0]}


def test_a_class_that_stands_twice_is_reached_where_it_was_asked_for(apps: Any) -> None:
    for app in (apps.Auth(apps.Auth(apps.endpoint)), apps.upper(apps.upper(apps.endpoint))):
        opened = Neutral().open(app, "bare", "raised")
        passed: list[str] = []
        opened.chain.points["1", "before"].arm(functools.partial(passed.append, "1"))
        send(opened)
        for point in opened.chain.points.values():
            point.disarm()
        assert passed == ["1"]


@pytest.mark.parametrize("name", ["application", "asgi"])
def test_the_shapes_swallow_and_translate_outside_all(name: str, apps: Any) -> None:
    escaped = {}
    for shape in ("swallowed", "translated"):
        opened = Neutral().open(getattr(apps, name), "bare", shape)  # type: ignore[arg-type]
        assert opened.chain.nodes[0].id == "0"
        point = opened.chain.points["0", "before"]
        point.arm(fail)
        answer = send(opened)
        point.disarm()
        escaped[shape] = (answer.status, answer.escaped.partition(":")[0])
        assert send(opened).body == send(Opened(opened.app, opened.interface, Chain(()))).body
    assert escaped == {"swallowed": (200, ""), "translated": (None, "Translated")}


@pytest.mark.parametrize("name", ["application", "asgi"])
def test_ids_of_layers_are_the_same_in_each_arm(name: str, apps: Any) -> None:
    adapter = Neutral()
    bare = adapter.open(getattr(apps, name), "bare", "raised")
    ours = Neutral().open(getattr(new(), name), "everylayer", "raised")
    added = [node for node in ours.chain.nodes if node.kind == "instrumentation"]
    assert [node.id for node in added] == [f"+{index}" for index in range(len(added))]
    assert [node.name for node in added] == ["OpenTelemetryMiddleware", "Seam"]
    assert all(not node.phases for node in added)
    assert adapter.framework == f"plain {bare.interface.upper()}"
    assert send(ours) == send(bare)


@pytest.mark.parametrize("name", ["application", "asgi"])
def test_the_chain_goes_on_within_everylayer_s_own_middleware(name: str, apps: Any) -> None:
    entry = everylayer_starlette if name == "asgi" else everylayer_flask
    without = Neutral().chain(getattr(apps, name))
    app = entry.EveryLayerMiddleware(getattr(apps, name))
    chain = Neutral().chain(app)
    assert names(chain.nodes) == [
        ("+0", "EveryLayerMiddleware", "instrumentation", []),
        *names(without.nodes),
    ]
    assert set(chain.points) == set(without.points)
    opened = Neutral().open(app, "everylayer", "raised")
    assert [node.name for node in opened.chain.nodes if node.kind == "instrumentation"] == [
        "OpenTelemetryMiddleware",
        "EveryLayerMiddleware",
    ]
    assert send(opened).status == 200
    for (node, phase), point in opened.chain.points.items():
        if "." in node:
            continue
        point.arm(fail)
        answer = send(opened)
        point.disarm()
        assert answer.escaped == "ValueError: put here", (node, phase)


class Inside:
    """Knows one object as its app."""

    framework = "inside"

    def __init__(self, app: Any) -> None:
        self.app = app

    def prepare(self, arm: Any) -> None: ...

    def claims(self, app: object) -> bool:
        return app is self.app

    def open(self, app: Any, arm: Any, shape: Any) -> Opened:
        assert shape == "raised"
        opened = Neutral().open(app, "bare", shape)

        def outermost(environ: Any, start_response: Any) -> Any:
            return opened.app(environ, start_response)

        return Opened(outermost, opened.interface, opened.chain, "no stock")

    def chain(self, app: Any) -> Chain:
        return Neutral().chain(app)


def test_an_app_that_serves_is_read_and_nothing_else(apps: Any) -> None:
    before = Neutral().open(new().application, "bare", "raised").chain
    held = vars(apps.application).copy()
    chain = Neutral().chain(apps.application)
    assert names(chain.nodes) == names(before.nodes)
    assert vars(apps.application) == held
    assert set(chain.points) < set(before.points), "none in a response of the audit's own"
    inside = Neutral([Inside(apps.application.app)]).chain(apps.application)
    assert names(inside.nodes) == names(before.nodes)
    assert set(inside.points) == set(chain.points)
    # Of messages of many requests at once none is known to be the first.
    assert not any(phase == "stream" for _, phase in Neutral().chain(apps.asgi).points)
    with pytest.raises(TargetError, match="WSGI or ASGI"):
        Neutral().chain(object())


def test_plain_layers_around_a_frameworks_app_come_before_its_own(apps: Any) -> None:
    inside = apps.application.app
    adapter = Neutral([Inside(inside)])
    opened = adapter.open(apps.application, "everylayer", "swallowed")
    assert adapter.framework == "inside"
    assert opened.stock == "no stock"
    assert [(node.id, node.name) for node in opened.chain.nodes] == [
        ("+0", "Seam"),
        ("0", "Auth"),
        ("1", "upper.layer"),
        ("2", "Mounts"),
        ("3", "Slotted"),
        ("4", "endpoint"),
    ]
    for node in ("0", "2"):
        point = opened.chain.points[node, "before"]
        point.arm(fail)
        assert send(opened).size == len(b"recovered")
        point.disarm()
    assert opened.chain.nodes[3].inner[0].id == "2.0.0"
    assert send(opened).size == len(b"ANSWER")


class Router:
    """An app that others ask for more than its call."""

    prefix = "/"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": self.prefix.encode()})


class Asking:
    """Uses more of what it holds than its call."""

    def __init__(self, app: Any, router: Any = None) -> None:
        self.app = app
        self.router = router or app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert self.app.prefix == self.router.prefix
        assert isinstance(self.router, (Router, Asking))
        await self.app(scope, receive, send)

    @property
    def prefix(self) -> str:
        return str(self.app.prefix)


@pytest.mark.parametrize("arm", ["bare", "everylayer"])
def test_what_is_put_between_layers_passes_for_what_is_inside(arm: Any) -> None:
    opened = Neutral().open(Asking(Asking(Router())), arm, "raised")
    answer = send(opened)
    assert (answer.status, answer.escaped, answer.size) == (200, "", 1)
    assert [node.id for node in opened.chain.nodes if node.phases] == ["0", "1", "2"]


class Hostile:
    """Raises at any question, as a proxy does outside of a request."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __call__(self, environ: Any, start_response: Any) -> Any:
        raise AssertionError("nobody calls it")


def test_what_a_layer_holds_besides_is_not_read(apps: Any) -> None:
    layer = apps.Auth(apps.endpoint)
    layer.current = Hostile()
    layer.call_me = layer.__call__
    layer.me = layer
    nodes = Neutral().open(layer, "bare", "raised").chain.nodes
    assert [(node.name, node.inner) for node in nodes] == [("Auth", ()), ("endpoint", ())]


def three(scope: Any, receive: Any, send: Any) -> None: ...


async def three_of_other_names(a: Any, b: Any, c: Any) -> None: ...


def two(environ: Any, start_response: Any) -> None: ...


def two_of_other_names(config: Any, debug: Any) -> None: ...


class InASlot:
    """Decides at its start how it is called."""

    __slots__ = ("__call__", "app")

    def __init__(self, app: Any) -> None:
        self.app = app
        self.__call__ = self.run

    async def run(self, scope: Any, receive: Any, send: Any) -> None: ...


class ByProtocol:
    def __init__(self, application_mapping: dict[str, Any]) -> None:
        self.application_mapping = application_mapping

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


def test_a_table_of_protocols_leads_on_to_the_app_for_http() -> None:
    table = {"websocket": three, "http": InASlot(three_of_other_names)}
    nodes = Neutral().open(ByProtocol(table), "bare", "raised").chain.nodes
    assert [(node.id, node.name) for node in nodes] == [
        ("0", "ByProtocol"),
        ("1", "InASlot"),
        ("2", "three_of_other_names"),
    ]
    assert [node.name for node in nodes[0].inner] == ["websocket three"]


@pytest.mark.parametrize(
    ("app", "interface"),
    [
        (InASlot(None), "asgi"),
        (three, "asgi"),
        (three_of_other_names, "asgi"),
        (two, "wsgi"),
        (two_of_other_names, ""),
        (Neutral, ""),
        (3, ""),
        (print, ""),
        (dict.get, ""),
    ],
)
def test_the_interface_is_told_by_the_parameters(app: Any, interface: str) -> None:
    assert interface_of(app) == interface


@pytest.mark.parametrize("name", ["application", "asgi", "partial"])
def test_what_the_shape_translates_is_seen_before_it_is(
    name: str, apps: Any, telemetry: Telemetry
) -> None:
    opened = Neutral().open(getattr(apps, name), "everylayer", "translated")
    point = opened.chain.points["0", "before"]
    point.arm(fail)
    send(opened)
    point.disarm()
    seen = [
        (event.attributes or {})["exception.type"] for event in server_span(telemetry.spans).events
    ]
    assert seen == ["ValueError", "everylayer.audit.injected.Translated"]
