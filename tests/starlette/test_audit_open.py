"""Opening an app for an audit: whose it is, who instruments it, what is put around it."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import fastapi
import pytest
import starlette.applications
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.starlette import StarletteInstrumentor
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount, Route, Router

from asgi_kit import HAS_NATIVE
from audit_apps import APPS, Pure, fastapi_app, page, starlette_app, wrapped_app
from audit_kit import opened, own, prepared, walk
from contract.drive import run_asgi, scope
from contract.telemetry import Telemetry, error_events, server_spans
from everylayer.audit.model import ARMS, Arm, Shape
from everylayer_starlette import EveryLayerMiddleware
from everylayer_starlette.audit import StarletteAdapter

QUIET: dict[str, Any] = {"tracing": False, "metrics": False, "logs": False}
OFF: dict[str, Any] = {"telemetry": QUIET} if HAS_NATIVE else {}


# Whose


async def plain_app(scope: Any, receive: Any, send: Any) -> None:
    return


def wsgi_app(environ: Any, start_response: Any) -> Any:
    return []


@pytest.mark.parametrize("make", APPS)
def test_apps_of_starlette_are_claimed(make: Any) -> None:
    assert StarletteAdapter().claims(make())


@pytest.mark.parametrize("app", [plain_app, Pure(plain_app), wsgi_app, Starlette, None, "app", 3])
def test_others_are_not(app: Any) -> None:
    assert not StarletteAdapter().claims(app)


# Stock


def added_by_hand(app: Any) -> Any:
    app.add_middleware(OpenTelemetryMiddleware)
    return app


def around(app: Any) -> Any:
    return OpenTelemetryMiddleware(app)


def by_the_instrumentor(app: Any) -> Any:
    stock = FastAPIInstrumentor if isinstance(app, fastapi.FastAPI) else StarletteInstrumentor
    stock.instrument_app(app)
    return app


def untouched(app: Any) -> Any:
    return app


# As it was when this module was imported: before any audit.
MADE_BEFORE = {
    "starlette": lambda: Starlette(routes=[Route("/", page)]),
    "fastapi": lambda: fastapi_with_page(fastapi.applications.FastAPI),
}
MADE_SINCE = {
    "starlette": lambda: starlette.applications.Starlette(routes=[Route("/", page)]),
    "fastapi": lambda: fastapi_with_page(fastapi.FastAPI),
}


def fastapi_with_page(cls: Any) -> Any:
    app = cls(openapi_url=None, **OFF)
    app.add_route("/", page)
    return app


@pytest.mark.parametrize("arm", ["stock", "everylayer"])
@pytest.mark.parametrize("how", [untouched, added_by_hand, around, by_the_instrumentor])
@pytest.mark.parametrize("make", [MADE_BEFORE, MADE_SINCE], ids=["before", "since"])
@pytest.mark.parametrize("framework", ["starlette", "fastapi"])
def test_an_app_is_instrumented_once(
    framework: str, make: Any, how: Any, arm: Arm, telemetry: Telemetry
) -> None:
    with opened(lambda: how(make[framework]()), arm) as given:
        assert run_asgi(given.app, scope("/")).status == 200
        assert given.stock == ""
        names = [node.name for node in walk(given.chain.nodes)]
        assert names.count("OpenTelemetryMiddleware") == 1
    assert len(server_spans(telemetry.spans)) == 1
    # A second one would make a span for each message once more.
    assert sum(span.name.endswith("http send") for span in telemetry.spans) == 2


def test_the_bare_arm_has_no_telemetry(telemetry: Telemetry) -> None:
    for make in (starlette_app, wrapped_app, fastapi_app):
        with opened(make, "bare") as given:
            run_asgi(given.app, scope("/"))
            assert given.stock
            assert own(given).keys() == {node.id for node in walk(given.chain.nodes)}
    assert telemetry.spans == ()


def test_stock_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.instrumentation.starlette", None)
    with opened(starlette_app, "stock") as given:
        assert given.stock == "opentelemetry-instrumentation-starlette is not installed"
        assert run_asgi(given.app, scope("/")).status == 200


def test_stock_that_does_not_fit_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        StarletteInstrumentor, "instrumentation_dependencies", lambda self: ("starlette >= 999",)
    )
    with opened(starlette_app, "stock") as given:
        assert "starlette >= 999" in given.stock


def test_an_app_that_has_served_already_is_opened_anew(telemetry: Telemetry) -> None:
    app = starlette_app()
    assert run_asgi(app, scope("/")).status == 200
    with opened(lambda: app, "everylayer") as given:
        assert run_asgi(given.app, scope("/")).status == 200
    assert len(server_spans(telemetry.spans)) == 1


def test_an_app_that_holds_everylayer_itself() -> None:
    def make() -> Any:
        app = starlette_app()
        app.add_middleware(EveryLayerMiddleware)
        return app

    found = []
    for arm in ARMS:
        with opened(make, arm) as given:
            found.append(own(given))
    assert found[0] == found[1] == found[2]
    with opened(lambda: EveryLayerMiddleware(Pure(starlette_app())), "everylayer") as given:
        assert isinstance(given.app, EveryLayerMiddleware)
        assert not isinstance(given.app.app, EveryLayerMiddleware)


# Shapes


@pytest.mark.parametrize("make", [starlette_app, fastapi_app, wrapped_app])
@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("shape", ["swallowed", "translated"])
def test_a_layer_outside_all_others(
    make: Any, arm: Arm, shape: Shape, telemetry: Telemetry
) -> None:
    with opened(make, "bare") as given:
        expected = own(given)
    with opened(make, arm, shape) as given:
        assert own(given) == expected
        path = "/sync"
        assert run_asgi(given.app, scope(path)).status == 200
        telemetry.clear()
        first = next(node for node in expected.values() if "before" in node.phases)

        def visit() -> None:
            raise LookupError("put here")

        point = given.chain.points[first.id, "before"]
        point.arm(visit)
        try:
            run = run_asgi(given.app, scope(path))
        finally:
            point.disarm()
    raised = None if run.raised is None else run.raised.type.__name__
    if shape == "swallowed":
        assert (run.status, raised) == (200, None)
    else:
        assert raised == "TranslatedError"
    if arm == "everylayer":
        found = [event.event.attributes or {} for event in error_events(telemetry.spans)]
        names = {each["exception.type"].rpartition(".")[2]: each for each in found}
        assert names["LookupError"]["everylayer.layer.name"] == first.name
        if shape == "translated":
            assert names["TranslatedError"]["everylayer.layer.name"] == "Translating"
        assert len(found) == len(names)


def test_a_response_that_has_begun_is_only_ended() -> None:
    with opened(starlette_app, "bare", "swallowed") as given:
        (node,) = (n.id for n in own(given).values() if "GET /:" in n.seam)

        def visit() -> None:
            raise LookupError("put here")

        for phase, body in (("stream", b"a page"), ("background", b"a page")):
            point = given.chain.points[node, phase]  # type: ignore[index]
            point.arm(visit)
            run = run_asgi(given.app, scope("/"))
            point.disarm()
            assert (run.status, run.body, run.raised) == (200, body, None)


# What is hostile


class Untouchable:
    """Fails for whatever it is asked that it has not got."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_asgi"):
            raise AttributeError(name)  # Stock cannot do without asking.
        raise RuntimeError(f"{name} must not be asked for")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


class Frozen:
    """Takes nothing in exchange for what it holds."""

    __slots__ = ("app",)

    def __init__(self, app: Any) -> None:
        object.__setattr__(self, "app", app)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(name)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


def made_by_exec() -> Any:
    source = (
        "class Made:\n"
        "    def __init__(self, app): self.app = app\n"
        "    async def __call__(self, scope, receive, send):\n"
        "        await self.app(scope, receive, send)\n"
    )
    module = ModuleType("made")
    exec(source, module.__dict__)
    return module.Made


def hostile_app() -> Any:
    classes = [Untouchable, Frozen, made_by_exec(), lambda app: app]
    loop = Router()
    loop.routes.append(Mount("/again", app=loop))
    return starlette.applications.Starlette(
        routes=[Route("/", page), Mount("/loop", app=loop)],
        middleware=[Middleware(cls) for cls in classes],
    )


@pytest.mark.parametrize("arm", ARMS)
def test_a_hostile_layer_costs_no_other_its_place(arm: Arm) -> None:
    with opened(hostile_app, arm) as given:
        nodes = own(given)
        names = [node.name for node in nodes.values()]
        assert names[1:4] == ["Untouchable", "Frozen", "Made"]
        assert "page" in names
        assert nodes["3"].where == ""
        assert run_asgi(given.app, scope("/")).status == 200


def test_a_layer_that_cannot_be_made_says_so_itself() -> None:
    def broken(app: Any) -> Any:
        raise OSError("no database")

    with prepared("bare") as adapter, pytest.raises(OSError, match="no database"):
        adapter.open(Starlette(middleware=[Middleware(broken)]), "bare", "raised")


def test_what_stands_for_a_dependency_is_listed() -> None:
    async def stands_in() -> int:
        return 2

    def make() -> Any:
        from audit_apps import connection

        app = fastapi_app()
        app.dependency_overrides[connection] = stands_in
        return app

    with opened(make, "bare") as given:
        hooks = [node.name for node in own(given).values() if node.kind == "hook"]
    assert [name.rpartition(".")[2] for name in hooks][:2] == ["Checks", "stands_in"]
    assert "connection" not in hooks
