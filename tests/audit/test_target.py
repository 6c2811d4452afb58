"""TARGET, as people type it, and what is said of one that is no app."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from everylayer.audit.spelling import Target, parse
from everylayer.audit.target import load
from everylayer.audit.wire import TargetError

MANAGE = """
import os, sys

def main():
    os.environ.setdefault({name!r}, {value})
    from django.core.management import execute_from_command_line
    execute_from_command_line(sys.argv)
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory of the test's own; what it imported is forgotten."""
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(folder: Path, name: str, text: str = "") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


class Plain:
    """Claims what is marked as an app."""

    framework = "test"

    def prepare(self, arm: Any) -> None: ...

    def claims(self, app: object) -> bool:
        return getattr(app, "is_app", False) is True

    def open(self, app: Any, arm: Any, shape: Any) -> Any:
        raise NotImplementedError


class Settings(Plain):
    """Makes an app from settings."""

    def from_settings(self, module: str) -> Any:
        __import__(module)
        return f"handler of {module}"


APP = """
class App:
    is_app = True
    def __init__(self, *args, **words):
        self.made_with = args, words
    def __call__(self):
        raise AssertionError("nobody calls it")
"""


def loaded(text: str, factory: bool = False) -> Any:
    return load(text, factory, [Plain()])[1]


def refused(text: str, factory: bool = False) -> str:
    with pytest.raises(TargetError) as caught:
        load(text, factory, [Plain()])
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


@pytest.mark.parametrize(
    ("text", "factory", "expected"),
    [
        ("shop.web:app", False, ("shop.web", "app", None)),
        ("shop.web", False, ("shop.web", "", None)),
        ("shop:make.app", False, ("shop", "make.app", None)),
        ("shop:create_app()", False, ("shop", "create_app", ((), {}))),
        ("shop:create_app", True, ("shop", "create_app", ((), {}))),
        (
            "shop:create_app('dev', [1], debug=True)",
            False,
            ("shop", "create_app", (("dev", [1]), {"debug": True})),
        ),
    ],
)
def test_a_module_is_taken_apart(text: str, factory: bool, expected: Any, here: Path) -> None:
    module, attribute, call = expected
    assert parse(text, factory) == Target(module, attribute, call, here)


def test_a_file_is_the_module_that_it_is_in_its_package(here: Path) -> None:
    write(here, "src/shop/__init__.py")
    write(here, "src/shop/web.py")
    write(here, "wsgi.py")
    assert parse("src/shop/web.py:app") == Target("shop.web", "app", None, here / "src")
    assert parse("src/shop/__init__.py:app") == Target("shop", "app", None, here / "src")
    assert parse(f"{here}/wsgi.py") == Target("wsgi", "", None, here)


@pytest.mark.parametrize("typed", ["site", "site/", "site/manage.py"])
def test_a_folder_with_manage_py_names_its_settings(typed: str, here: Path) -> None:
    write(
        here,
        "site/manage.py",
        MANAGE.format(name="DJANGO_SETTINGS_MODULE", value="'shop.settings'"),
    )
    assert parse(typed) == Target("shop.settings", folder=here / "site", django=True)


def test_settings_in_the_environment_are_preferred(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(here, "manage.py", "import os\nos.environ['DJANGO_SETTINGS_MODULE'] = 'a.settings'\n")
    assert parse(".").module == "a.settings"
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "b.settings")
    assert parse(".").module == "b.settings"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "names no module"),
        (":app", "names no module"),
        ("no such thing", "neither a module nor a file"),
        ("nothing.py:app", "there is no file nothing.py"),
        ("folder/", "has no manage.py"),
        ("shop:app[0]", "cannot be read"),
        ("shop:create_app(os.environ)", "cannot be read"),
        ("shop:create_app(**x)", "cannot be read"),
        ("shop:f()()", "cannot be read"),
        ("shop:1", "cannot be read"),
        ("empty/manage.py", "does not set DJANGO_SETTINGS_MODULE"),
        ("computed", "does not set DJANGO_SETTINGS_MODULE"),
        ("broken", "cannot be read"),
    ],
)
def test_what_is_no_target_is_told_in_a_sentence(text: str, says: str, here: Path) -> None:
    (here / "folder").mkdir()
    write(here, "empty/manage.py")
    write(here, "broken/manage.py", "def (")
    write(
        here,
        "computed/manage.py",
        MANAGE.format(name="DJANGO_SETTINGS_MODULE", value="pick_settings()"),
    )
    with pytest.raises(TargetError, match=says):
        parse(text)


def test_an_app_is_found_made_and_called(here: Path) -> None:
    write(
        here,
        "shop_a.py",
        f"""{APP}
app = App("the app")
class made:
    inner = App("inner")
def create_app(name="default", *, debug=False):
    return App(name, debug=debug)
""",
    )
    assert loaded("shop_a").made_with == (("the app",), {})
    assert loaded("shop_a:made.inner").made_with == (("inner",), {})
    assert loaded("shop_a:create_app()").made_with == (("default",), {"debug": False})
    assert loaded("shop_a:create_app('x', debug=True)").made_with == (("x",), {"debug": True})
    assert loaded("shop_a", factory=True).made_with == (("default",), {"debug": False})
    assert loaded("shop_a.py:app").made_with == (("the app",), {})


def test_a_factory_is_looked_for_where_there_is_no_app(here: Path) -> None:
    write(here, "shop_b.py", f"{APP}\ndef make_app():\n    return App('made')\n")
    assert loaded("shop_b").made_with == (("made",), {})


def test_settings_of_django_go_to_the_adapter_that_takes_them(here: Path) -> None:
    write(here, "proj/settings.py", "ROOT_URLCONF = 'proj.urls'\nMIDDLEWARE = []\n")
    write(here, "manage.py", "import os\nos.environ['DJANGO_SETTINGS_MODULE'] = 'proj.settings'\n")
    for text in ("proj.settings", "manage.py", "."):
        adapter, app = load(text, False, [Plain(), Settings()])
        assert type(adapter) is Settings
        assert app == "handler of proj.settings"
    assert "pip install everylayer-django" in refused("proj.settings")


def test_what_is_not_there_is_named_with_what_is_close(here: Path) -> None:
    write(here, "shop_c/__init__.py")
    write(here, "shop_c/webapp.py", f"{APP}\napplication_x = App()\n")
    assert "has no attribute 'aplication_x'; did you mean application_x?" in refused(
        "shop_c.webapp:aplication_x"
    )
    said = refused("shop_c.webap:app")
    assert said.startswith("there is no module shop_c.webap, neither in")
    assert said.endswith("; did you mean shop_c.webapp?")
    assert "did you mean shop_c?" in refused("shop_cc:app")
    assert "there is no module nowhere" in refused("nowhere.settings")
    assert "type shop_c.webapp:NAME" in refused("shop_c.webapp")


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("raise ValueError('no\\nkey')", "importing broken_x failed: ValueError: no key ("),
        ("def f(:", "importing broken_x failed: SyntaxError: "),
        ("import sys; sys.exit(3)", "importing broken_x ended the process (SystemExit: 3)"),
        ("raise KeyboardInterrupt", "importing broken_x failed: KeyboardInterrupt ("),
        ("import not_there_at_all", "needs the module 'not_there_at_all', which is not installed"),
        ("import quart.flask_patch", "needs quart, which is not installed here: pip install quart"),
        (
            "class OperationalError(Exception): pass\nraise OperationalError('refused')",
            "needs a database or service that is not there (broken_x.OperationalError: refused)",
        ),
        (
            """
            import socket
            try:
                socket.create_connection(('127.0.0.1', 1), 1)
            except OSError as e:
                raise RuntimeError('cache') from e
            """,
            "needs a database or service that is not there (ConnectionRefusedError",
        ),
        ("app = 1", "is no WSGI, ASGI or aiohttp app and no gRPC server, but an int"),
        ("def app(): pass", "if it makes one, type broken_x:app() or add --factory"),
    ],
)
def test_a_module_that_fails_is_told_in_a_sentence(source: str, says: str, here: Path) -> None:
    write(here, "broken_x.py", source)
    assert says in refused("broken_x:app")


@pytest.mark.parametrize(
    ("source", "text", "says"),
    [
        ("def make(): raise ValueError('no')", "factory_x:make()", "make() failed: ValueError: no"),
        ("def make(): exit(1)", "factory_x:make()", "make() ended the process"),
        ("def make(): return None", "factory_x:make()", "make() returned None, not an app"),
        ("def make(config): ...", "factory_x:make()", "wrong arguments: missing a required"),
        ("make = 1", "factory_x:make()", "cannot be called: it is an int"),
        (
            "def make(): return 3",
            "factory_x:make()",
            "is no WSGI, ASGI or aiohttp app and no gRPC server, but an int",
        ),
        (
            "import sqlite3\ndef make(): sqlite3.connect('/no/such/dir/x.db')",
            "factory_x:make()",
            "needs a database or service that is not there (sqlite3.OperationalError",
        ),
    ],
)
def test_a_factory_that_fails_is_told_in_a_sentence(
    source: str, text: str, says: str, here: Path
) -> None:
    write(here, "factory_x.py", source)
    assert says in refused(text)


class Known(Plain):
    """Of a framework whose package is there."""

    framework = "aiohttp"


def test_a_package_is_named_where_it_is_not_installed_and_only_there(here: Path) -> None:
    made = "class Routes: ...\nRoutes.__module__ = 'aiohttp.web_routedef'\nroutes = Routes()\n"
    write(here, "routes_x.py", made)
    kind = "an aiohttp.web_routedef.Routes"
    missing = "everylayer's part for aiohttp is not installed: pip install everylayer-aiohttp"
    assert refused("routes_x:routes") == f"'routes_x:routes' is {kind}, and {missing}"
    with pytest.raises(TargetError) as caught:
        load("routes_x:routes", False, [Known()])
    assert str(caught.value).endswith(f"but {kind}")


def test_the_traceback_is_among_the_details(here: Path) -> None:
    write(here, "broken_y.py", "def inner():\n    raise ValueError('deep')\ninner()\n")
    with pytest.raises(TargetError) as caught:
        load("broken_y", False, [])
    assert "in inner" in caught.value.details
    assert str(caught.value).endswith("broken_y.py:2)")
