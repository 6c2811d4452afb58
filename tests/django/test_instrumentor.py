"""Without a line in the settings, and gone again without a trace."""

from __future__ import annotations

import importlib
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.base import BaseHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http.response import HttpResponseBase
from django.test import Client
from django.test.utils import override_settings

from contract import drive
from contract.telemetry import Telemetry, error_events
from everylayer.settings import SettingsError
from everylayer_django import EveryLayerDjangoInstrumentor, config, instrumentor, patches


@pytest.fixture
def subject() -> Iterator[EveryLayerDjangoInstrumentor]:
    made = EveryLayerDjangoInstrumentor()
    yield made
    if made.is_instrumented_by_opentelemetry:
        made.uninstrument()


def patched() -> dict[str, Any]:
    """Return everything that a patch may replace, as it is now."""
    found = {}
    for patch in patches.PATCHES:
        module, _, cls = patch.owner.partition(":")
        owner = importlib.import_module(module)
        owner = getattr(owner, cls) if cls else owner
        found[f"{patch.owner}.{patch.name}"] = vars(owner).get(patch.name)
        found[patch.owner] = sorted(vars(owner))
    return found


def test_uninstrument_leaves_no_trace(subject: EveryLayerDjangoInstrumentor) -> None:
    before = patched()
    subject.instrument(skip_dep_check=True)
    during = patched()
    names = [f"{patch.owner}.{patch.name}" for patch in patches.PATCHES]
    assert all(during[name] is not before[name] for name in names)
    subject.uninstrument()
    assert patched() == before
    assert all(patched()[name] is before[name] for name in names)


def owner_of(patch: patches.Patch) -> Any:
    module, _, cls = patch.owner.partition(":")
    found = importlib.import_module(module)
    return getattr(found, cls) if cls else found


def around(inner: Any) -> Any:
    """Return what another tool puts in the place of `inner`."""

    def other(*args: Any, **kwargs: Any) -> Any:
        return inner(*args, **kwargs)

    return other


def test_what_others_have_wrapped_does_nothing_any_more(
    subject: EveryLayerDjangoInstrumentor, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask() -> None:
        with override_settings(MIDDLEWARE=[]):
            assert drive.run_wsgi(WSGIHandler(), drive.environ("/none")).status == 500
            assert drive.run_asgi(ASGIHandler(), drive.scope("/none")).status == 500

    targets = [(owner_of(each), each.name) for each in patches.PATCHES]
    for owner, name in targets:
        monkeypatch.setattr(owner, name, vars(owner)[name])
    subject.instrument(skip_dep_check=True)
    for owner, name in targets:
        setattr(owner, name, around(vars(owner)[name]))
    ask()
    assert len(error_events(telemetry.spans)) == 2
    telemetry.clear()
    subject.uninstrument()
    ask()
    assert telemetry.spans == ()
    subject.instrument(skip_dep_check=True)
    ask()
    assert len(error_events(telemetry.spans)) == 2
    subject.uninstrument()


def test_twice_is_once(subject: EveryLayerDjangoInstrumentor) -> None:
    subject.instrument(skip_dep_check=True)
    during = patched()
    instrumentor.post_instrument()
    patches.install()
    assert patched() == during
    subject.uninstrument()
    patches.uninstall()


def test_an_app_needs_no_line(subject: EveryLayerDjangoInstrumentor, telemetry: Telemetry) -> None:
    subject.instrument(skip_dep_check=True)
    with override_settings(MIDDLEWARE=["djangoapp.layers.Quiet"]):
        Client(raise_request_exception=False).get("/none")
    assert len(error_events(telemetry.spans)) == 1


def test_keywords_are_settings(subject: EveryLayerDjangoInstrumentor, telemetry: Telemetry) -> None:
    subject.instrument(skip_dep_check=True, client_errors="all", tracer_provider=None)
    with override_settings(MIDDLEWARE=[], EVERYLAYER={"client_errors": "none"}):
        Client().get("/forbidden")
    assert len(error_events(telemetry.spans)) == 1


def test_an_unknown_keyword_is_refused(subject: EveryLayerDjangoInstrumentor) -> None:
    with pytest.raises(SettingsError, match="max_events"):
        subject.instrument(skip_dep_check=True, max_event=3)
    assert not patches.installed()


def test_a_bad_variable_is_refused(
    subject: EveryLayerDjangoInstrumentor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVERYLAYER_MAX_EVENTS", "many")
    with pytest.raises(SettingsError, match="EVERYLAYER_MAX_EVENTS"):
        subject.instrument()


SETTINGS = """
SECRET_KEY = "not a secret"
ROOT_URLCONF = "djangoapp.urls"
ALLOWED_HOSTS = ["*"]
MIDDLEWARE = ["djangoapp.layers.Plain"]
LOGGING_CONFIG = None
"""
APP = """
import django
from django.core.handlers.wsgi import WSGIHandler
from opentelemetry import trace

from contract import drive
from contract.faults import PLAIN
from djangoapp import plan

django.setup()
handler = WSGIHandler()
with plan.failing({"plain.before": PLAIN}):
    print("answered", drive.run_wsgi(handler, drive.environ("/ok")).status)
trace.get_tracer_provider().force_flush()
"""


ALONE = {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "everylayer_flask,everylayer_starlette"}


def without_code(folder: Path, **variables: str) -> str:
    """Run an app that does not know of everylayer, under opentelemetry-instrument."""
    (folder / "plainsettings.py").write_text(SETTINGS)
    (folder / "app.py").write_text(APP)
    here = Path(__file__).parent
    path = [str(folder), str(here), str(here.parent / "support"), os.environ.get("PYTHONPATH", "")]
    command = Path(sys.executable).with_name("opentelemetry-instrument")
    if not command.exists():
        pytest.skip("opentelemetry-instrument is not installed")
    done = subprocess.run(
        [command, sys.executable, str(folder / "app.py")],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path),
            "DJANGO_SETTINGS_MODULE": "plainsettings",
            "OTEL_TRACES_EXPORTER": "console",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
            **variables,
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert "answered 500" in done.stdout
    return done.stdout + done.stderr


def test_without_any_code(tmp_path: Path) -> None:
    pytest.importorskip("opentelemetry.distro")
    if not [
        e for e in entry_points(group="opentelemetry_instrumentor") if e.name == "everylayer_django"
    ]:
        pytest.skip("everylayer-django is not installed")
    said = without_code(tmp_path)
    assert said.count('"kind": "SpanKind.SERVER"') == 1
    assert said.count('"name": "exception"') == 1
    assert '"everylayer.layer.name": "Plain"' in said
    # A bad setting is reported, and costs nothing but everylayer.
    said = without_code(tmp_path, EVERYLAYER_MAX_EVENTS="many", **ALONE)
    assert "EVERYLAYER_MAX_EVENTS" in said
    assert said.count('"kind": "SpanKind.SERVER"') == 1
    assert "everylayer.layer.name" not in said
    # Switched off like any other instrumentation.
    said = without_code(tmp_path, OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="everylayer_django")
    assert "everylayer.layer.name" not in said


def test_the_hook_after_all_others_never_raises(
    subject: EveryLayerDjangoInstrumentor, monkeypatch: pytest.MonkeyPatch
) -> None:
    instrumentor.post_instrument()
    assert not patches.installed()
    subject.instrument(skip_dep_check=True)

    def broken() -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(patches, "install", broken)
    instrumentor.post_instrument()


def test_it_says_what_it_needs(subject: EveryLayerDjangoInstrumentor) -> None:
    assert subject.instrumentation_dependencies() == ("django >= 4.2",)


def test_another_patch_on_top_is_respected(caplog: pytest.LogCaptureFixture) -> None:
    found = HttpResponseBase.close
    patches.install()
    ours = HttpResponseBase.close

    def theirs(self: Any) -> None:
        ours(self)

    HttpResponseBase.close = theirs
    try:
        with caplog.at_level(logging.WARNING, "everylayer"):
            patches.uninstall()
        assert HttpResponseBase.close is theirs
        assert "close" in caplog.text
    finally:
        HttpResponseBase.close = found


def test_settings_are_read_when_first_needed() -> None:
    config.give({})
    with override_settings(EVERYLAYER={"max_events": 3}):
        assert config.current().max_events == 3
    config.load()


def test_the_patches_are_all_of_django(subject: EveryLayerDjangoInstrumentor) -> None:
    subject.instrument(skip_dep_check=True)
    assert BaseHandler.get_response.__wrapped__.__module__ == "django.core.handlers.base"
    assert BaseHandler.get_response.__qualname__ == "BaseHandler.get_response"
