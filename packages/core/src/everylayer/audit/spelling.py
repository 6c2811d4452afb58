"""TARGET, as people type it, taken apart: which module, what in it, called with what."""

from __future__ import annotations

import ast
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .wire import TargetError


@dataclass(frozen=True)
class Target:
    """What was typed, taken apart; nothing is imported yet.

    Attributes:
        module: dotted.
        attribute: what in it, such as `app` or `factory.app`; "" to look for it.
        call: its arguments, None where nothing is called.
        folder: to be put on `sys.path`.
        django: `module` is a Django settings module.
    """

    module: str
    attribute: str = ""
    call: tuple[tuple[Any, ...], dict[str, Any]] | None = None
    folder: Path = Path()
    django: bool = False


def parse(text: str, factory: bool = False, cwd: Path | None = None) -> Target:
    """Take `text` apart.

    Args:
        text: `module:app`, `module:create_app()`, `module`, `file.py:app`, a settings module, a
            folder with manage.py, or manage.py itself.
        factory: what `text` names is called, without arguments.
        cwd: where paths and modules begin.

    Raises:
        TargetError: it is none of these.
    """
    cwd = cwd or Path.cwd()
    place, expression = _split(text)
    if not place:
        raise TargetError(f"{text!r} names no module: type module:app, or a folder with manage.py")
    path = cwd / place
    if path.is_dir() and not expression and (path / "manage.py").is_file():
        return _of_manage(path / "manage.py")
    if path.is_file() and path.name == "manage.py" and not expression:
        return _of_manage(path)
    if place.endswith(".py") or os.sep in place:
        module, folder = _of_file(path, place)
    else:
        module, folder = place, cwd
        if not all(part.isidentifier() for part in place.split(".")):
            raise TargetError(f"{place!r} is neither a module nor a file or folder that exists")
    attribute, call = _expression(expression, text)
    if factory and call is None:
        call = ((), {})
    return Target(module, attribute, call, folder)


def _split(text: str) -> tuple[str, str]:
    """Split at the colon that no drive letter stands before."""
    at = text.find(":", 2 if text[1:3] in (":\\", ":/") else 0)
    return (text, "") if at < 0 else (text[:at], text[at + 1 :].strip())


def _expression(text: str, whole: str) -> tuple[str, tuple[tuple[Any, ...], dict[str, Any]] | None]:
    if not text:
        return "", None
    bad = TargetError(
        f"{whole!r} cannot be read: after the colon comes a name, or a call with plain values, "
        f"such as create_app('testing')"
    )
    try:
        node = ast.parse(text, mode="eval").body
        call = None
        if isinstance(node, ast.Call):
            args = tuple(ast.literal_eval(arg) for arg in node.args)
            if any(word.arg is None for word in node.keywords):
                raise bad
            words = {str(word.arg): ast.literal_eval(word.value) for word in node.keywords}
            call = (args, words)
            node = node.func
    except (SyntaxError, ValueError):
        raise bad from None
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.insert(0, node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        raise bad
    return ".".join([node.id, *names]), call


def _of_file(path: Path, typed: str) -> tuple[str, Path]:
    """Return the module that a file is, and the folder that its outermost package is in."""
    if path.is_dir():
        raise TargetError(f"the folder {typed} has no manage.py: name its app as module:app")
    if not path.is_file():
        raise TargetError(f"there is no file {typed}")
    path = path.resolve()
    names = [] if path.name == "__init__.py" else [path.stem]
    folder = path.parent
    while (folder / "__init__.py").is_file():
        names.insert(0, folder.name)
        folder = folder.parent
    return ".".join(names), folder


def _of_manage(path: Path) -> Target:
    """Return the settings that a manage.py sets, unless the environment names others."""
    path = path.resolve()
    settings = os.environ.get("DJANGO_SETTINGS_MODULE") or _settings_in(path)
    if not settings:
        raise TargetError(
            f"{path} does not set DJANGO_SETTINGS_MODULE: set that variable, or type the "
            f"settings module"
        )
    return Target(settings, folder=path.parent, django=True)


def _settings_in(path: Path) -> str:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError) as error:
        raise TargetError(f"{path} cannot be read: {error}") from error
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            values = [_literal(arg) for arg in node.args]
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
            values = [_literal(node.targets[0].slice), _literal(node.value)]
        else:
            continue
        if values[:1] == ["DJANGO_SETTINGS_MODULE"] and len(values) > 1:
            # A default that is computed is not known before it runs.
            return values[1]
    return ""


def _literal(node: ast.expr) -> str:
    value = node.value if isinstance(node, ast.Constant) else ""
    return value if isinstance(value, str) else ""
