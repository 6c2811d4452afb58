"""Without a line of code, and gone again without a trace."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastapi
import pytest
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.starlette import StarletteInstrumentor
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount

from contract.drive import run_asgi, scope
from contract.faults import PLAIN, fault_site
from contract.telemetry import Telemetry, error_events
from everylayer.settings import SettingsError
from everylayer_starlette import EveryLayerMiddleware, instrumentor, patches
from everylayer_starlette.instrumentor import EveryLayerStarletteInstrumentor


@pytest.fixture
def subject() -> Iterator[EveryLayerStarletteInstrumentor]:
    made = EveryLayerStarletteInstrumentor()
    yield made
    if made.is_instrumented_by_opentelemetry:
        made.uninstrument()


class Swallow:
    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await self.app(scope, receive, send)
        except ValueError:
            await PlainTextResponse("recovered")(scope, receive, send)


class Broken:
    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            fault_site(PLAIN)
        await self.app(scope, receive, send)


def chain() -> list[Middleware]:
    return [Middleware(Swallow), Middleware(Broken)]


def recorded(telemetry: Telemetry, app: Any) -> int:
    telemetry.clear()
    assert run_asgi(app, scope("/")).status == 200
    return len(error_events(telemetry.spans))


def test_what_another_tool_does_with_each_subclass_stays(
    subject: EveryLayerStarletteInstrumentor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def telling(made: list[str]) -> Any:
        inner = vars(Starlette).get("__init_subclass__")

        def __init_subclass__(cls: type[Any]) -> None:
            made.append(cls.__name__)
            if inner is not None:
                inner.__get__(None, cls)()

        return classmethod(__init_subclass__)

    before: list[str] = []
    since: list[str] = []
    patches.remove()
    with monkeypatch.context() as patched:
        patched.setattr(Starlette, "__init_subclass__", telling(before), raising=False)
        subject.instrument()
        patched.setattr(Starlette, "__init_subclass__", telling(since))
        type("During", (Starlette,), {})
        patches.remove()
        type("After", (Starlette,), {})
    patches.install()
    assert before == since == ["During", "After"]


def test_apps_made_before_and_after_are_covered(
    subject: EveryLayerStarletteInstrumentor, telemetry: Telemetry
) -> None:
    before = Starlette(middleware=chain())
    assert recorded(telemetry, before) == 0
    subject.instrument(skip_dep_check=True)
    after = Starlette(middleware=chain())
    assert recorded(telemetry, after) == 1
    subject.uninstrument()
    assert recorded(telemetry, after) == 0
    assert recorded(telemetry, before) == 0


@pytest.mark.parametrize("stock_first", [True, False])
@pytest.mark.parametrize("make", [Starlette, fastapi.FastAPI])
def test_beside_stock_in_any_order(
    subject: EveryLayerStarletteInstrumentor, telemetry: Telemetry, make: Any, stock_first: bool
) -> None:
    app = make(middleware=chain())
    stock: Any = FastAPIInstrumentor if make is fastapi.FastAPI else StarletteInstrumentor
    if stock_first:
        stock.instrument_app(app)
        subject.instrument(skip_dep_check=True)
    else:
        subject.instrument(skip_dep_check=True)
        stock.instrument_app(app)
    assert recorded(telemetry, app) == 1
    stock.uninstrument_app(app)


async def failing_function(request: Any, call_next: Any) -> Any:
    fault_site(PLAIN)


def test_the_layers_of_a_mounted_app_are_known_to_the_outer_one(
    subject: EveryLayerStarletteInstrumentor, telemetry: Telemetry
) -> None:
    subject.instrument(skip_dep_check=True)
    inner = Starlette(middleware=[Middleware(BaseHTTPMiddleware, dispatch=failing_function)])
    app = Starlette(routes=[Mount("/inner", app=inner)], middleware=[Middleware(Swallow)])
    run_asgi(app, scope("/inner/page"))
    (found,) = error_events(telemetry.spans)
    assert (found.event.attributes or {})["everylayer.layer.name"] == "failing_function"


def test_an_app_that_holds_the_middleware_keeps_its_settings(
    subject: EveryLayerStarletteInstrumentor, telemetry: Telemetry
) -> None:
    app = Starlette(middleware=chain())
    app.add_middleware(EveryLayerMiddleware, ignored=["ValueError"])
    subject.instrument(skip_dep_check=True)
    assert recorded(telemetry, app) == 0
    subject.uninstrument()
    assert recorded(telemetry, app) == 0


def test_keywords_are_settings(
    subject: EveryLayerStarletteInstrumentor, telemetry: Telemetry
) -> None:
    subject.instrument(skip_dep_check=True, ignored=["ValueError"], tracer_provider=None)
    assert recorded(telemetry, Starlette(middleware=chain())) == 0


def test_an_unknown_keyword_is_refused(subject: EveryLayerStarletteInstrumentor) -> None:
    with pytest.raises(SettingsError, match="max_events"):
        subject.instrument(skip_dep_check=True, max_event=3)


def test_a_bad_variable_is_refused(
    subject: EveryLayerStarletteInstrumentor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVERYLAYER_MAX_EVENTS", "many")
    with pytest.raises(SettingsError, match="EVERYLAYER_MAX_EVENTS"):
        subject.instrument()


def test_a_bad_variable_stops_nothing_but_everylayer(
    subject: EveryLayerStarletteInstrumentor,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("EVERYLAYER_MAX_EVENTS", "many")
    subject.instrument(skip_dep_check=True)
    assert "EVERYLAYER_MAX_EVENTS" in caplog.text
    assert patches._everything is None


def test_the_post_hook_covers_what_stock_made_since(
    subject: EveryLayerStarletteInstrumentor,
) -> None:
    subject.instrument(skip_dep_check=True)
    instrumentor.post_instrument()
    assert patches._everything is not None


TRACE = """
import json, sys
from starlette.applications import Starlette
import fastapi

def attributes():
    return {f"{cls.__name__}.{name}": id(value)
            for cls in (Starlette, fastapi.FastAPI) for name, value in vars(cls).items()
            if name != "__dict__"}

before = attributes()
from everylayer_starlette.instrumentor import EveryLayerStarletteInstrumentor
subject = EveryLayerStarletteInstrumentor()
subject.instrument(skip_dep_check=True, **json.loads(sys.argv[1]))
Starlette().build_middleware_stack()
during = attributes()
subject.uninstrument()
after = attributes()
print(json.dumps([during != before, after == before]))
"""


@pytest.mark.parametrize("given", [{}, {"tenant": "header"}])
def test_uninstrument_leaves_no_trace(given: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TRACE, json.dumps(given)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert json.loads(done.stdout) == [True, True]


WRAPPED = """
import asyncio, functools
from starlette.applications import Starlette
from starlette.routing import Route
from everylayer_starlette import instrumentor
subject = instrumentor.EveryLayerStarletteInstrumentor()
subject.instrument(skip_dep_check=True)
ours, calls = Starlette.__call__, []

@functools.wraps(ours)
async def theirs(self, *given):
    calls.append(given)
    await ours(self, *given)

Starlette.__call__ = theirs
subject.uninstrument()
assert Starlette.__call__ is theirs

from contract.drive import run_asgi, scope
from contract.telemetry import error_events, install
telemetry = install()

def broken(request):
    raise ValueError("plain")

for count in (0, 1, 0):
    run_asgi(Starlette(routes=[Route("/", broken)]), scope("/"))
    print(len(calls), len(error_events(telemetry.spans)))
    telemetry.clear()
    subject.uninstrument() if count else subject.instrument(skip_dep_check=True)
    assert Starlette.__call__ is theirs
"""


STOCK_FIRST = """
from opentelemetry.instrumentation.starlette import StarletteInstrumentor
StarletteInstrumentor().instrument()
import starlette.applications
from everylayer_starlette.instrumentor import EveryLayerStarletteInstrumentor
EveryLayerStarletteInstrumentor().instrument()

from contract.drive import run_asgi, scope
from contract.telemetry import error_events, install
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse

class Swallow:
    def __init__(self, app):
        self.app = app
    async def __call__(self, scope, receive, send):
        try:
            await self.app(scope, receive, send)
        except ValueError:
            await PlainTextResponse("recovered")(scope, receive, send)

class Broken(Swallow):
    async def __call__(self, scope, receive, send):
        raise ValueError("plain")

telemetry = install()
app = starlette.applications.Starlette(middleware=[Middleware(Swallow), Middleware(Broken)])
answered = run_asgi(app, scope("/")).status
print(answered, len(error_events(telemetry.spans)))
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    support = str(Path(__file__).parent.parent / "support")
    path = os.pathsep.join([support, os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_what_others_have_put_around_the_seams_since_stays() -> None:
    done = run(WRAPPED)
    assert done.stdout.splitlines() == ["1 0", "2 1", "3 0"], done.stderr


def test_stock_may_have_replaced_the_class_before_everylayer_is_loaded() -> None:
    done = run(STOCK_FIRST)
    assert done.stdout.split() == ["200", "1"], done.stderr
    assert "does not know" not in done.stderr


APP = """
import asyncio
from opentelemetry import trace
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from contract.drive import run_asgi, scope
from contract.faults import PLAIN, fault_site

class Broken:
    def __init__(self, app):
        self.app = app
    async def __call__(self, scope, receive, send):
        try:
            fault_site(PLAIN)
        except ValueError:
            await PlainTextResponse("no", 503)(scope, receive, send)

class Quiet(Broken):
    async def __call__(self, scope, receive, send):
        try:
            await self.app(scope, receive, send)
        except ValueError:
            await PlainTextResponse("recovered", 503)(scope, receive, send)

class Raises(Broken):
    async def __call__(self, scope, receive, send):
        fault_site(PLAIN)

app = Starlette(routes=[])
app.add_middleware(Raises)
app.add_middleware(Quiet)
print("answered", run_asgi(app, scope("/")).status)
trace.get_tracer("app").start_span("alive").end()
trace.get_tracer_provider().force_flush()
"""


def without_code(folder: Path, **variables: str) -> str:
    """Run an app that does not know of everylayer, under opentelemetry-instrument."""
    (folder / "app.py").write_text(APP)
    support = Path(__file__).parent.parent / "support"
    command = Path(sys.executable).with_name("opentelemetry-instrument")
    if not command.exists():
        pytest.skip("opentelemetry-instrument is not installed")
    path = os.pathsep.join([str(support), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [command, sys.executable, str(folder / "app.py")],
        env={
            **os.environ,
            "PYTHONPATH": path,
            "OTEL_TRACES_EXPORTER": "console",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
            **variables,
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "answered 503" in done.stdout, done.stderr
    return done.stdout + done.stderr


def test_no_code_at_all(tmp_path: Path) -> None:
    printed = without_code(tmp_path)
    assert printed.count('"everylayer.layer.name": "Raises"') == 2  # the event's and the span's
    assert printed.count('"kind": "SpanKind.SERVER"') == 1


def test_it_can_be_disabled(tmp_path: Path) -> None:
    printed = without_code(tmp_path, OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="everylayer_starlette")
    assert "everylayer.layer.name" not in printed


def test_a_bad_variable_costs_no_telemetry(tmp_path: Path) -> None:
    printed = without_code(tmp_path, EVERYLAYER_MAX_EVENTS="many")
    assert "EVERYLAYER_MAX_EVENTS" in printed
    assert '"name": "alive"' in printed
