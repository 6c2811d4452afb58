"""What is held of a block that no machine here can run: its syntax, and the names it uses."""

from __future__ import annotations

import ast
import configparser
import dataclasses
import importlib.metadata
import json
import re
import shlex
from collections.abc import Callable, Iterator
from typing import Any

import click
import tomllib
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from everylayer import Settings
from everylayer.cli import cli
from snippets.pages import ROOT

SETTINGS = {f"EVERYLAYER_{field.name.upper()}" for field in dataclasses.fields(Settings)}
# Read before there are settings.
SETTINGS.add("EVERYLAYER_CHAOS_ENVIRONMENT")
# Installed to work on the project, not by its tests.
TOOLS = {"nox", "pip"}
SESSION = re.compile(r"^def (\w+)\(session: nox\.Session\)", re.MULTILINE)
VARIABLE = re.compile(r"\bEVERYLAYER_[A-Z_]+")


def ini(text: str) -> None:
    configparser.ConfigParser().read_string(text)


def documents(text: str) -> Iterator[Any]:
    """Yield the documents of a YAML block, and hold Kubernetes' and Envoy's to what they are."""
    for document in yaml.safe_load_all(text):
        if isinstance(document, dict) and "apiVersion" in document:
            kubernetes(document)
        yield document


SYNTAX: dict[str, Callable[[str], object]] = {
    "python": ast.parse,
    "toml": tomllib.loads,
    "json": json.loads,
    "ini": ini,
    "yaml": lambda text: list(documents(text)),
}


def installs(words: list[str]) -> None:
    """Hold `pip install` to distributions that are there, with extras that they have."""
    names = [word for word in words[words.index("install") + 1 :] if not word.startswith("-")]
    assert names
    for requirement in map(Requirement, names):
        if requirement.name in TOOLS:
            continue
        found = importlib.metadata.metadata(requirement.name)
        extras = {canonicalize_name(extra) for extra in found.get_all("Provides-Extra") or ()}
        assert {canonicalize_name(extra) for extra in requirement.extras} <= extras, requirement


def own_command(words: list[str]) -> None:
    """Hold `everylayer ...` to the options of its command."""
    if words[1].startswith("-"):
        return
    command = cli.get_command(click.Context(cli), words[1])
    assert command is not None, words
    with command.make_context(words[1], words[2:]):
        pass


def nox_session(words: list[str]) -> None:
    sessions = SESSION.findall((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    assert words[words.index("-s") + 1] in sessions, words


def variables(text: str) -> None:
    """Hold each variable of ours to be a setting."""
    assert set(VARIABLE.findall(text)) <= SETTINGS


def pip(words: list[str]) -> None:
    """Hold `pip install ...` to what is there, and what follows after `&&` to its own rules."""
    end = words.index("&&") if "&&" in words else len(words)
    installs(words[:end])
    if words[end + 1 :]:
        assert only_checked(shlex.join(words[end + 1 :]), lambda module: False)


def activates(words: list[str]) -> None:
    assert words[1].endswith("bin/activate")


def nothing(words: list[str]) -> None:
    """Leave the environment to the reader: the tests have one."""


BY_NAME: dict[str, Callable[[list[str]], None]] = {
    ".": activates,
    "everylayer": own_command,
    "nox": nox_session,
    "pip": pip,
    "venv": nothing,
}


def only_checked(command: str, has_module: Callable[[str], bool]) -> bool:
    """Check a command that is not run: what installs, what takes long, what no app is there for."""
    line = command.partition("  #")[0].partition(" < ")[0].replace("\\\n", " ")
    words = shlex.split(line)
    if words[:2] == ["python", "-m"]:
        words = words[2:]
    if words[0] == "cd":  # Of the repository, not of a reader's own.
        return (ROOT / words[1]).is_dir()
    if words[0] == "everylayer" and any(has_module(word.partition(":")[0]) for word in words[2:]):
        return False
    check = BY_NAME.get(words[0])
    if check is not None:
        check(words)
    return check is not None


def kubernetes(manifest: dict[str, Any]) -> None:
    """Hold a manifest to what the API of its kind takes."""
    import kubernetes_validate

    kubernetes_validate.validate(manifest, "1.33", strict=True)


def is_part(part: Any, whole: Any) -> bool:
    """Whether `whole` says all that `part` says, at the same places."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            key in whole and is_part(value, whole[key]) for key, value in part.items()
        )
    if isinstance(part, list):
        return isinstance(whole, list) and all(
            any(is_part(value, one) for one in whole) for value in part
        )
    return bool(part == whole)


def stands_in(part: Any, whole: Any) -> bool:
    """Whether `part` is found anywhere within `whole`."""
    inner: list[Any] = []
    if isinstance(whole, dict):
        inner = list(whole.values())
    elif isinstance(whole, list):
        inner = whole
    return is_part(part, whole) or any(stands_in(part, value) for value in inner)
