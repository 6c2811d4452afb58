"""What is held of a block that no machine here can run: its syntax, and the names it uses."""

from __future__ import annotations

import ast
import configparser
import dataclasses
import importlib.metadata
import json
import re
import shlex
import sys
import tomllib
from collections.abc import Callable, Iterator
from typing import Any

import click
import yaml
from everylayer import Settings
from everylayer.cli import cli
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from snippets.pages import ROOT

SETTINGS = {f"EVERYLAYER_{field.name.upper()}" for field in dataclasses.fields(Settings)}
# Read before there are settings.
SETTINGS.add("EVERYLAYER_CHAOS_ENVIRONMENT")
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
        found = importlib.metadata.metadata(requirement.name)
        extras = {canonicalize_name(extra) for extra in found.get_all("Provides-Extra") or ()}
        assert {canonicalize_name(extra) for extra in requirement.extras} <= extras, requirement


def own_command(words: list[str]) -> None:
    """Hold `everylayer ...` to the options of its command."""
    if words[1].startswith("-"):
        return
    command = cli.get_command(click.Context(cli), words[1])
    assert command is not None, words
    with command.make_context(words[1], [word for word in words[2:] if word != "<"]):
        pass


def nox_session(words: list[str]) -> None:
    sessions = SESSION.findall((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    assert words[words.index("-s") + 1] in sessions, words


def variables(text: str) -> None:
    """Hold each variable of ours to be a setting."""
    assert set(VARIABLE.findall(text)) <= SETTINGS


def only_checked(command: str, has_target: Callable[[str], bool]) -> bool:
    """Check a command that is not run: what installs, what takes long, what no app is there for."""
    line = command.partition("  #")[0].replace("\\\n", " ")
    words = shlex.split(line)
    if words[0] in ("python", "python3", sys.executable) and words[1:2] == ["-m"]:
        words = words[2:]
    match words[0]:
        case "venv":
            return True
        case "." | "source":
            return words[1].endswith("bin/activate")
        case "pip":
            for part in line.split("&&"):
                if "install" in part:
                    installs(shlex.split(part))
            if "nox -s" in line:
                nox_session(words)
            return True
        case "nox":
            nox_session(words)
            return True
        case "everylayer" if not any(has_target(word.partition(":")[0]) for word in words[2:]):
            own_command(words)
            return True
    return False


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
