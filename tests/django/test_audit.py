"""The chain that the audit reads is the one that runs, and its names are those in spans."""

from __future__ import annotations

import contextlib
import contextvars
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from django.core import signals
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.test.utils import override_settings
from opentelemetry.instrumentation.django import DjangoInstrumentor

from contract import drive
from contract.responses import Run
from contract.telemetry import Telemetry, error_events, server_spans
from everylayer.audit.adapter import Opened
from everylayer.audit.model import ARMS, SHAPES, Arm, ChainNode, Phase, Request, Shape
from everylayer.audit.plan import walk
from everylayer_django import patches
from everylayer_django.audit import DjangoAdapter, arms

ENTRY = "everylayer_django.EveryLayerMiddleware"
WSGI, ASGI = "wsgi", "asgi"
SERVERS = pytest.mark.parametrize("server", [WSGI, ASGI])
EVERY_SHAPE = (
    ENTRY,
    "django.middleware.security.SecurityMiddleware",
    "djangoapp.layers.Plain",
    "djangoapp.audited.BothModes",
    "djangoapp.audited.Unused",
    "djangoapp.layers.function",
    "djangoapp.layers.both",
    "djangoapp.audited.named_after_the_next",
    "djangoapp.audited.bound",
    "djangoapp.layers.Mixin",
    "djangoapp.layers.LeftShared",
    "djangoapp.layers.RightShared",
    "djangoapp.audited.AllHooks",
    "djangoapp.audited.Counts",
    "djangoapp.layers.Plain",
)
ASYNC_ONLY = (
    "djangoapp.layers.AsyncPlain",
    "djangoapp.layers.AsyncHooks",
    "djangoapp.layers.both",
    "djangoapp.audited.BothModes",
    "djangoapp.layers.Mixin",
)


class Fault(Exception):
    """What is put into an app."""


@pytest.fixture(autouse=True)
def nothing_stays_instrumented() -> Iterator[None]:
    yield
    uninstrument()
    arms.prepare("everylayer")


def uninstrument() -> None:
    if DjangoInstrumentor().is_instrumented_by_opentelemetry:
        DjangoInstrumentor().uninstrument()
    patches.uninstall()


@contextlib.contextmanager
def opened(
    middleware: Sequence[str],
    server: str = WSGI,
    path: str = "/",
    arm: Arm = "everylayer",
    shape: Shape = "raised",
    **extra: Any,
) -> Iterator[Opened]:
    with (
        override_settings(MIDDLEWARE=list(middleware), ROOT_URLCONF="djangoapp.audited", **extra),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # Django's, of bodies of the other kind.
        adapter = DjangoAdapter()
        adapter.prepare(arm)
        adapter.aim(Request(path=path))
        app = WSGIHandler() if server == WSGI else ASGIHandler()
        assert adapter.claims(app)
        try:
            yield adapter.open(app, arm, shape)
        finally:
            uninstrument()


def own(app: Opened) -> list[ChainNode]:
    return [node for node in walk(app.chain.nodes) if node.kind != "instrumentation"]


def get(app: Opened, path: str = "/") -> Run:
    if app.interface == "asgi":
        return drive.run_asgi(app.app, drive.scope(path))
    return contextvars.copy_context().run(drive.run_wsgi, app.app, drive.environ(path))


def put(app: Opened, node: str, phase: Phase, path: str = "/") -> tuple[Run, bool]:
    """Put a fault at one point; return what came back, and whether the point was reached."""
    point, reached = app.chain.points[node, phase], []

    def visit() -> None:
        reached.append(1)
        raise Fault(f"{node} {phase}")

    point.arm(visit)
    try:
        return get(app, path), bool(reached)
    finally:
        point.disarm()


def tried(app: Opened, telemetry: Telemetry, path: str = "/") -> dict[tuple[str, Phase], bool]:
    """Put a fault at every point of `app`; each that is reached must bear its layer's name."""
    found = {}
    nodes = {node.id: node for node in own(app)}
    for node, phase in app.chain.points:
        telemetry.clear()
        _, reached = put(app, node, phase, path)
        names = [
            values.get("everylayer.layer.name")
            for values in (event.event.attributes or {} for event in error_events(telemetry.spans))
            if values.get("exception.message") == f"{node} {phase}"
        ]
        assert (node, phase, names) == (node, phase, [nodes[node].name] if reached else [])
        found[node, phase] = reached
    return found


def unreached(app: Opened, found: dict[tuple[str, Phase], bool]) -> set[tuple[str, Phase]]:
    names = {node.id: node.name for node in own(app)}
    return {(names[node], phase) for (node, phase), reached in found.items() if not reached}


# A frame of Python 3.10 does not tell what its function is defined in.
GUARDED = "guarded.checked" if sys.version_info >= (3, 11) else "checked"
IDLE: set[tuple[str, Phase]] = {
    (GUARDED, "before"),
    (GUARDED, "after"),
    ("handler404", "before"),
    ("handler404", "after"),
    ("handler500", "before"),
    ("handler500", "after"),
}
UNASKED: set[tuple[str, Phase]] = {("AllHooks", "before"), ("AllHooks", "after")}


@SERVERS
def test_a_fault_at_each_point_is_named_as_the_chain_says(
    server: str, telemetry: Telemetry
) -> None:
    with opened(EVERY_SHAPE, server) as app:
        found = tried(app, telemetry)
        # Nothing is streamed, and nothing is a template.
        assert unreached(app, found) == {*IDLE, *UNASKED, ("Counts", "stream")}


def test_layers_that_are_asynchronous_only(telemetry: Telemetry) -> None:
    with opened(ASYNC_ONLY, ASGI, "/later") as app:
        assert unreached(app, tried(app, telemetry, "/later")) == {
            *IDLE,
            ("AsyncHooks", "before"),
            ("AsyncHooks", "after"),
        }
        modes = {node.name: node.mode for node in own(app)}
    assert (modes["AsyncPlain"], modes["AsyncHooks"], modes["later"]) == ("async",) * 3
    assert (modes["Mixin"], modes["BothModes"]) == ("both", "both")


@SERVERS
def test_hooks_of_templates_and_of_errors_are_reached_when_they_run(
    server: str, telemetry: Telemetry
) -> None:
    with opened(EVERY_SHAPE, server, "/template") as app:
        hooks = {node.seam.rpartition(" ")[2]: node.id for node in own(app) if node.kind == "hook"}
        assert list(hooks) == ["process_view", "process_exception", "process_template_response"]
        found = tried(app, telemetry, "/template")
        assert found[hooks["process_template_response"], "after"]
        view = next(node.id for node in own(app) if node.kind == "endpoint")
        seen: list[str] = []
        point = app.chain.points[hooks["process_exception"], "before"]
        point.arm(lambda: seen.append("process_exception"))
        put(app, view, "before", "/template")
        point.disarm()
        assert seen == ["process_exception"]


@SERVERS
@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/", "ok"),
        ("/?page=2", "ok"),
        ("/decorated", "decorated"),
        ("/class", "Class"),
        ("/callee", "Callee"),
        ("/hidden", "undocumented.wrapper"),
        ("/partial", "ok"),
        ("/template", "template"),
        ("/stream", "stream"),
        ("/deep/7", "undocumented.wrapper"),
        ("/later", "later"),
    ],
)
def test_views_of_every_make(path: str, name: str, server: str, telemetry: Telemetry) -> None:
    with opened(["djangoapp.layers.Quiet"], server, path) as app:
        view = next(node for node in own(app) if node.kind == "endpoint")
        assert (view.name, view.phases) == (name, ("before", "after", "stream", "teardown"))
        found = tried(app, telemetry, path)
        assert unreached(app, found) == IDLE


def test_the_innermost_function_of_a_view_is_where_it_fails(telemetry: Telemetry) -> None:
    with opened([], path="/hidden") as app:
        view = next(node for node in own(app) if node.kind == "endpoint")
        put(app, view.id, "before", "/hidden")
        (event,) = error_events(telemetry.spans)
        assert "in ok\n" in str((event.event.attributes or {})["exception.stacktrace"])


def test_a_path_that_leads_nowhere_has_no_view_but_its_handler(telemetry: Telemetry) -> None:
    with opened(["djangoapp.layers.Quiet"], path="/nowhere") as app:
        assert not any(node.kind == "endpoint" for node in own(app))
        idle = {place for place in IDLE if place[0] != "handler404"}
        assert unreached(app, tried(app, telemetry, "/nowhere")) == idle


@SERVERS
def test_the_view_answers_with_a_stream_while_a_fault_waits_there(
    server: str, telemetry: Telemetry
) -> None:
    with opened(["djangoapp.audited.Counts"], server) as app:
        nodes = {node.name: node.id for node in own(app)}
        stream = app.chain.points[nodes["ok"], "stream"]
        stream.arm(lambda: None)
        run, reached = put(app, nodes["Counts"], "stream")
        stream.disarm()
        assert (reached, run.status) == (True, 200)
        (event,) = error_events(telemetry.spans)
        assert (event.event.attributes or {})["everylayer.layer.name"] == "Counts"
        run, reached = put(app, nodes["ok"], "stream")
        assert (reached, run.status, run.body) == (True, 200, b"fine")
        assert dict(get(app).headers).get("content-type") == "text/html; charset=utf-8"


def listed(app: Opened) -> list[tuple[str, str, str, str]]:
    return [(node.id, node.name, node.kind, node.mode) for node in walk(app.chain.nodes)]


def test_the_chain_in_its_order() -> None:
    with opened(EVERY_SHAPE) as app:
        assert listed(app) == [
            ("+0", "EveryLayer", "instrumentation", "sync"),
            ("0", "WSGIHandler", "wsgi", "sync"),
            ("+1", "_DjangoMiddleware", "instrumentation", "sync"),
            ("1", "SecurityMiddleware", "class", "both"),
            ("2", "Plain", "class", "sync"),
            ("3", "BothModes", "class", "both"),
            ("4", "function.layer", "function", "sync"),
            ("5", "both.layer", "function", "both"),
            ("6", "Callable.handle", "function", "sync"),
            ("7", "Callable.handle", "function", "sync"),
            ("8", "Mixin", "class", "both"),
            ("9", "LeftShared", "class", "both"),
            ("10", "RightShared", "class", "both"),
            ("11", "AllHooks", "class", "sync"),
            ("11.0", "AllHooks", "hook", "sync"),
            ("11.1", "AllHooks", "hook", "sync"),
            ("11.2", "AllHooks", "hook", "sync"),
            ("12", "Counts", "class", "sync"),
            ("13", "Plain", "class", "sync"),
            ("14", "ok", "endpoint", "sync"),
            ("15", GUARDED, "handler", "sync"),
            ("16", "handler404", "handler", "sync"),
            ("17", "handler500", "handler", "sync"),
        ]
        found = {node.id: node for node in own(app)}
        for node, line in {
            "3": "class BothModes:",
            "6": "    def layer(request):",
            "11.1": "    def process_exception(self, request, exception):",
            "14": "def ok(request):",
            "15": "def handler403(request, exception):",
        }.items():
            file, _, number = found[node].where.rpartition(":")
            shown = Path(file).read_text(encoding="utf-8").splitlines()[int(number) - 1]
            assert shown in (line, "    @functools.wraps(get_response)")
        phases = {node: found[node].phases for node in ("0", "8", "9", "12", "14")}
        assert phases == {
            "0": (),
            "8": ("before", "after"),
            "9": ("before", "after"),
            "12": ("before", "after", "stream"),
            "14": ("before", "after", "stream", "teardown"),
        }


def test_receivers_of_the_app_stand_where_they_run(telemetry: Telemetry) -> None:
    from djangoapp import audited

    connected = [
        (signals.request_started, audited.on_started),
        (signals.request_finished, audited.on_finished),
        (signals.got_request_exception, audited.on_error),
    ]
    for signal, receiver in connected:
        signal.connect(receiver)
    try:
        with opened(["djangoapp.layers.Plain"]) as app:
            assert [(node.name, node.phases) for node in own(app)] == [
                ("WSGIHandler", ()),
                ("on_started", ("before", "after")),
                ("Plain", ("before", "after")),
                ("ok", ("before", "after", "stream", "teardown")),
                (GUARDED, ("before", "after")),
                ("handler404", ("before", "after")),
                ("handler500", ("before", "after")),
                ("on_error", ("before", "after")),
                ("on_finished", ("teardown",)),
            ]
            assert unreached(app, tried(app, telemetry)) == {
                *IDLE,
                ("on_error", "before"),
                ("on_error", "after"),
            }
    finally:
        for signal, receiver in connected:
            signal.disconnect(receiver)


@SERVERS
def test_the_chain_is_the_same_in_all_arms_and_shapes(server: str) -> None:
    chains = []
    for arm, shape in [(arm, SHAPES[0]) for arm in ARMS] + [(ARMS[-1], s) for s in SHAPES[1:]]:
        with opened(EVERY_SHAPE, server, arm=arm, shape=shape) as app:
            nodes = own(app)
            assert set(app.chain.points) == {(n.id, phase) for n in nodes for phase in n.phases}
        chains.append([(n.id, n.name, n.kind, n.where, n.mode, n.seam, n.phases) for n in nodes])
    assert len(chains[0]) == 21
    assert all(chain == chains[0] for chain in chains[1:])


@pytest.mark.parametrize("arm", ARMS)
def test_each_arm_has_its_telemetry_and_no_other(arm: Arm, telemetry: Telemetry) -> None:
    with opened([ENTRY, "djangoapp.layers.Plain"], arm=arm) as app:
        plain = next(node.id for node in own(app) if node.name == "Plain")
        put(app, plain, "before")
        assert (len(server_spans(telemetry.spans)), len(error_events(telemetry.spans))) == {
            "bare": (0, 0),
            "stock": (1, 0),
            "everylayer": (1, 1),
        }[arm]
        assert patches.installed() == (arm == "everylayer")
        assert (app.stock == "") == (arm != "bare")


@pytest.mark.parametrize("arm", ["stock", "everylayer"])
def test_an_app_that_instruments_itself_is_instrumented_once(
    arm: Arm, telemetry: Telemetry
) -> None:
    with override_settings(MIDDLEWARE=["djangoapp.layers.Plain"]):
        DjangoInstrumentor().instrument(skip_dep_check=True)
        adapter = DjangoAdapter()
        adapter.prepare(arm)
        app = adapter.open(WSGIHandler(), arm, "swallowed")
        get(app)
        assert len(server_spans(telemetry.spans)) == 1
        names = [node.name for node in app.chain.nodes if node.kind == "instrumentation"]
        assert names.count("_DjangoMiddleware") == 1


@SERVERS
@pytest.mark.parametrize(
    ("shape", "of_a_view", "of_a_layer"),
    [("raised", 500, 500), ("swallowed", 200, 200), ("translated", 500, 500)],
)
def test_shapes(
    shape: Shape, of_a_view: int, of_a_layer: int, server: str, telemetry: Telemetry
) -> None:
    with opened(["djangoapp.layers.Plain"], server, shape=shape) as app:
        nodes = {node.name: node.id for node in own(app)}
        assert get(app).body == b"fine"
        telemetry.clear()
        assert put(app, nodes["Plain"], "before")[0].status == of_a_layer
        assert len(error_events(telemetry.spans)) == 1
        telemetry.clear()
        assert put(app, nodes["ok"], "before")[0].status == of_a_view
        types = [
            str((event.event.attributes or {})["exception.type"]).rpartition(".")[2]
            for event in error_events(telemetry.spans)
        ]
        assert types == ["Fault", "Translated"] if shape == "translated" else ["Fault"]


def test_what_cannot_be_read_stays_in_the_tree() -> None:
    with opened(["djangoapp.layers.Plain", "djangoapp.audited.Unreadable"]) as app:
        assert [(node.name, node.kind, node.phases) for node in own(app)[1:5]] == [
            ("Plain", "class", ("before", "after")),
            ("Unreadable", "class", ()),
            ("Unreadable", "hook", ()),
            ("ok", "endpoint", ("before", "after", "stream", "teardown")),
        ]
        assert get(app).body == b"fine"


def test_a_handler_inside_wsgi_layers(telemetry: Telemetry) -> None:
    from whitenoise import WhiteNoise

    with override_settings(MIDDLEWARE=["djangoapp.layers.Plain"], ROOT_URLCONF="djangoapp.audited"):
        adapter = DjangoAdapter()
        adapter.prepare("everylayer")
        served = WhiteNoise(WSGIHandler())
        assert adapter.claims(served)
        app = adapter.open(served, "everylayer", "swallowed")
        assert [(node.id, node.name) for node in own(app)][:4] == [
            ("0", "WhiteNoise"),
            ("1", "WSGIHandler"),
            ("2", "Plain"),
            ("3", "ok"),
        ]
        assert app.stock == ""
        for node in ("0", "2", "3"):
            telemetry.clear()
            run, reached = put(app, node, "before")
            assert (reached, run.status, run.raised) == (True, 200, None)
            assert len(error_events(telemetry.spans)) == 1


def test_a_handler_inside_asgi_layers() -> None:
    from sentry_sdk.integrations.asgi import SentryAsgiMiddleware

    class ByProtocol:
        def __init__(self, application_mapping: dict[str, Any]) -> None:
            self.application_mapping = application_mapping

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await self.application_mapping[scope["type"]](scope, receive, send)

    adapter = DjangoAdapter()
    handler = ASGIHandler()
    assert adapter.claims(SentryAsgiMiddleware(handler))
    app = adapter.open(ByProtocol({"http": handler}), "bare", "raised")
    assert [node.kind for node in app.chain.nodes][:2] == ["asgi", "asgi"]


def test_apps_of_others_are_not_claimed() -> None:
    from flask import Flask
    from starlette.applications import Starlette
    from starlette.routing import Mount

    adapter = DjangoAdapter()
    flask_app = Flask(__name__)
    flask_app.wsgi_app = WSGIHandler()  # type: ignore[method-assign]
    for app in (flask_app, Starlette(routes=[Mount("/", ASGIHandler())]), object(), WSGIHandler):
        assert not adapter.claims(app)


@pytest.mark.parametrize(
    ("wsgi", "asgi", "cls"),
    [
        ("djangoapp.wsgi_of_audited.application", "no.such", "OwnHandler"),
        (None, "djangoapp.wsgi_of_audited.asgi_application", "ASGIHandler"),
        ("djangoapp.audited.lazy_application", None, "WSGIHandler"),
        (None, None, "WSGIHandler"),
    ],
)
def test_the_app_of_settings(
    wsgi: str | None, asgi: str | None, cls: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "")
    with override_settings(WSGI_APPLICATION=wsgi, ASGI_APPLICATION=asgi):
        adapter = DjangoAdapter()
        app = adapter.from_settings("shop.settings")
        assert os.environ["DJANGO_SETTINGS_MODULE"] == "shop.settings"
        assert type(app).__name__ == cls
        assert adapter.claims(app)


def test_an_app_that_cannot_be_imported_says_so() -> None:
    with (
        override_settings(WSGI_APPLICATION="djangoapp.no_such.application"),
        pytest.raises(ImportError, match=r"djangoapp\.no_such"),
    ):
        DjangoAdapter().from_settings(os.environ.get("DJANGO_SETTINGS_MODULE", ""))


PROJECT = {
    "manage.py": "import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'site1.settings')\n",
    "site1/__init__.py": "",
    "site1/settings.py": """
SECRET_KEY = "not a secret"
ROOT_URLCONF = "site1.urls"
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
ALLOWED_HOSTS = ["shop.example"]
""",
    "site1/urls.py": """
from django.http import HttpResponse
from django.urls import path

def home(request):
    return HttpResponse("home")

urlpatterns = [path("", home)]
""",
}


def test_a_project_is_opened_from_its_folder(tmp_path: Path) -> None:
    for name, text in PROJECT.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "everylayer", "chain", ".", "--path", "/", "--format", "json"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    # A host that is not allowed would have been refused.
    assert (found["status"], found["passed"]) == (200, ["1", "2"])
    assert [node["name"] for node in found["nodes"] if node["kind"] != "instrumentation"] == [
        "WSGIHandler",
        "CommonMiddleware",
        "home",
    ]
