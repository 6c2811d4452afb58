"""Adapters that wait for their framework to be imported."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from everylayer.audit.adapter import GROUP, adapters
from everylayer.audit.late import LATE, Late

FRAMEWORK = "class App: ...\n"
ADAPTER = """
import late_framework

class Adapter:
    framework = "late_framework"

    def prepare(self, arm):
        late_framework.App.arm = arm

    def surrounded(self):
        late_framework.App.surrounded = True

    def claims(self, app):
        return isinstance(app, late_framework.App)

    def open(self, app, arm, shape):
        return "opened", app, arm, shape

    def chain(self, app):
        return "chain", app
"""
USER = "import late_framework\nARM = late_framework.App.arm\n"
NAMES = ("late_framework", "late_adapter", "late_user")


@pytest.fixture(autouse=True)
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, text in zip(NAMES, (FRAMEWORK, ADAPTER, USER), strict=True):
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in NAMES:
        sys.modules.pop(name, None)


def late(adapter: str = "late_adapter") -> Late:
    return Late(EntryPoint("late_framework", f"{adapter}:Adapter", GROUP))


def test_it_is_loaded_with_the_framework_and_before_its_importer_goes_on() -> None:
    adapter = late()
    adapter.prepare("stock")
    assert not adapter.claims(object())
    assert not sys.modules.keys() & set(NAMES)
    assert importlib.import_module("late_user").ARM == "stock"
    app = sys.modules["late_framework"].App()
    assert adapter.claims(app)
    assert not adapter.claims(object())
    adapter.surrounded()
    assert app.surrounded
    assert adapter.chain(app) == ("chain", app)
    assert adapter.open(app, "bare", "raised") == ("opened", app, "bare", "raised")


def test_one_that_cannot_be_loaded_is_told_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    adapter = late("no_such_module")
    adapter.prepare("bare")
    framework = importlib.import_module("late_framework")
    assert not adapter.claims(framework.App())
    said = capsys.readouterr().err
    assert said.count("no audit of late_framework apps: No module named") == 1


def test_those_that_wait_are_there_under_their_names() -> None:
    found = {each.framework: type(each) for each in adapters()}
    assert {name for name, cls in found.items() if cls is Late} == LATE & found.keys()
