"""Installed twice, taken out and put in again, reloaded: each error is still recorded once."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.test.utils import override_settings
from flask import Flask
from starlette.applications import Starlette

import kit_django
from contract import django_settings
from contract.telemetry import Telemetry, error_events
from everylayer.instrumentor import Instrumentor
from everylayer_django import patches as django_patches
from everylayer_django.instrumentor import EveryLayerDjangoInstrumentor
from everylayer_flask import EveryLayer
from everylayer_flask.instrumentor import EveryLayerFlaskInstrumentor
from everylayer_starlette import EveryLayerMiddleware
from everylayer_starlette.instrumentor import EveryLayerStarletteInstrumentor
from kit_apps import BARE, OURS, call, served
from kit_faults import message
from kit_server import HERE, PATIENCE, Server, messages, running, wait_until_up

KINDS = ("view", "layer", "late")


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def recorded(telemetry: Telemetry, app: Any, framework: str) -> list[str]:
    """Serve a request of each kind; return the errors that were recorded."""
    telemetry.clear()
    for kind in KINDS:
        call(app, framework, f"/{kind}/1")
    found = error_events(telemetry.spans)
    return [str((e.event.attributes or {})["exception.message"]) for e in found]


ONCE_EACH = [message(kind, "1") for kind in KINDS]


def switched(telemetry: Telemetry, framework: str, instrumentor: Instrumentor) -> list[list[str]]:
    """Return what is recorded with the instrumentor on, off, on twice, and off again."""
    found = []

    def serve() -> None:
        with served(framework, BARE) as app:
            found.append(recorded(telemetry, app, framework))

    try:
        for _ in range(2):
            instrumentor.instrument()
            serve()
            instrumentor.uninstrument()
            serve()
    finally:
        instrumentor.uninstrument()
    return found


@pytest.mark.filterwarnings("ignore:Attempting to")
@pytest.mark.parametrize(
    ("framework", "make"),
    [
        ("flask", EveryLayerFlaskInstrumentor),
        ("starlette", EveryLayerStarletteInstrumentor),
    ],
)
def test_switched_on_and_off_again(
    telemetry: Telemetry, framework: str, make: Callable[[], Instrumentor]
) -> None:
    assert switched(telemetry, framework, make()) == [ONCE_EACH, [], ONCE_EACH, []]


@pytest.mark.parametrize("framework", ["django-wsgi", "django-asgi"])
def test_django_switched_on_and_off_again(telemetry: Telemetry, framework: str) -> None:
    found = []
    instrumentor = EveryLayerDjangoInstrumentor()
    with served(framework, BARE) as app:
        for _ in range(2):
            instrumentor.instrument()
            found.append(recorded(telemetry, app, framework))
            instrumentor.uninstrument()
            found.append(recorded(telemetry, app, framework))
    assert found == [ONCE_EACH, [], ONCE_EACH, []]
    assert not django_patches.installed()


def test_a_flask_app_that_is_given_twice(telemetry: Telemetry) -> None:
    with served("flask", OURS) as app:
        EveryLayer(app)
        EveryLayer().init_app(app)
        assert recorded(telemetry, app, "flask") == ONCE_EACH


def test_a_starlette_app_that_holds_it_twice(telemetry: Telemetry) -> None:
    with served("starlette", OURS) as app:
        app.add_middleware(EveryLayerMiddleware)
        assert recorded(telemetry, app, "starlette") == ONCE_EACH
        around = EveryLayerMiddleware(EveryLayerMiddleware(app))
        assert recorded(telemetry, around, "starlette") == ONCE_EACH


@pytest.mark.parametrize("handler", [WSGIHandler, ASGIHandler])
def test_a_django_chain_that_names_it_twice(
    telemetry: Telemetry, handler: Callable[[], Any]
) -> None:
    asynchronous = handler is ASGIHandler
    urls = kit_django.AsyncUrls if asynchronous else kit_django.SyncUrls
    chain = [kit_django.ENTRY, kit_django.LAYER, kit_django.ENTRY]
    django_settings.configure()
    try:
        with override_settings(ROOT_URLCONF=urls, MIDDLEWARE=chain):
            for _ in range(2):
                app = handler()
                framework = "django-asgi" if asynchronous else "django-wsgi"
                assert recorded(telemetry, app, framework) == ONCE_EACH
    finally:
        django_patches.uninstall()


MODULE = """
from __future__ import annotations
from kit_apps import OURS, served
made = served({framework!r}, OURS)
app = made.__enter__()
"""


@pytest.mark.parametrize("framework", ["flask", "starlette", "django-wsgi", "wsgi", "asgi"])
def test_the_module_of_an_app_is_reloaded(
    telemetry: Telemetry, framework: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"reloaded_{framework.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(MODULE.format(framework=framework))
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module(name)
    made = [module.made]
    try:
        old = module.app
        assert recorded(telemetry, old, framework) == ONCE_EACH
        for _ in range(3):
            module = importlib.reload(module)
            made.append(module.made)
            assert isinstance(module.app, type(old)) or isinstance(old, (Flask, Starlette))
            assert recorded(telemetry, module.app, framework) == ONCE_EACH
        # A request may still be with the app that was there before.
        assert recorded(telemetry, old, framework) == ONCE_EACH
    finally:
        for one in reversed(made):
            one.__exit__(None, None, None)
        del sys.modules[name]


def pid(server: Server) -> str:
    """Return the process that answers; empty while none does."""
    answer = server.get("ok", 1)
    return answer.by.split()[0] if answer.status == 200 else ""


def check_reload(server: Server, changed: Path) -> None:
    """Fail one request in the process that was started and one in that which follows a change."""
    wait_until_up(server)
    pids = [pid(server)]
    requests = []
    for round_ in range(2):
        requests += [("view", 10 + round_), ("layer", 20 + round_), ("late", 30 + round_)]
        server.get_all(requests[-3:], 1)
        wanted = {(number, message(kind, str(number))) for kind, number in requests}
        server.wait_for(lambda spans, wanted=wanted: wanted <= set(messages(spans)))  # type: ignore[misc]
        deadline = time.monotonic() + PATIENCE
        later = time.time() + round_
        while round_ == 0 and time.monotonic() < deadline:
            # Until it is noticed: a watcher may not have looked at the file even once.
            later += 10
            os.utime(changed, (later, later))
            if (now := pid(server)) and now not in pids:
                pids.append(now)
                break
            time.sleep(0.3)
    assert len(pids) == 2, "the server did not start anew"
    found = messages(server.spans())
    assert {key: found[key] for key in wanted} == dict.fromkeys(wanted, 1)
    served_by = {str(span["pid"]) for span in server.spans() if span["errors"]}
    assert served_by == set(pids)


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="sockets are inherited by fork")


@needs_fork
def test_uvicorn_reloads(tmp_path: Path) -> None:
    module = tmp_path / "changing.py"
    module.write_text("from served_app import app\n")
    command = ("uvicorn", "--fd", "{fd}", "--reload", "--reload-dir", str(tmp_path), "changing:app")
    path = os.pathsep.join([str(HERE), str(tmp_path), os.environ.get("PYTHONPATH", "")])
    environ = {"SERVED_FRAMEWORK": "starlette", "PYTHONPATH": path}
    with running(command, tmp_path, environ, cwd=tmp_path) as server:
        check_reload(server, module)


@needs_fork
def test_django_reloads(tmp_path: Path) -> None:
    module = tmp_path / "changing.py"
    module.write_text("from served_app import app\n")
    folders = [HERE, HERE.parent / "support", tmp_path, os.environ.get("PYTHONPATH", "")]
    path = os.pathsep.join(map(str, folders))
    environ = {"SERVED_FRAMEWORK": "django-wsgi", "PYTHONPATH": path}
    with running(("run_django_reloader", "{fd}"), tmp_path, environ, cwd=tmp_path) as server:
        check_reload(server, module)
        assert server.process.poll() is None
        server.process.send_signal(signal.SIGINT)
