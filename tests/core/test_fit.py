"""A changed function is told from one that only looks different."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import pytest

from everylayer.boundaries.patch import Patches, Target
from everylayer.fit import takes, warn_left_alone


def two(self: Any, request: Any) -> None: ...


def three(self: Any, ctx: Any, request: Any) -> None: ...


def anything(*args: Any, **kwargs: Any) -> None: ...


def method_of_anything(self: Any, *args: Any, **kwargs: Any) -> None: ...


def more(*args: Any, now: bool, **kwargs: Any) -> None: ...


def nothing(self: Any) -> None: ...


@functools.wraps(two)
def standing_in(*args: Any, **kwargs: Any) -> None: ...


class Opaque:
    __signature__ = "none"

    def __call__(self) -> None: ...


@pytest.mark.parametrize(
    ("function", "known", "fits"),
    [
        (two, ("self request",), True),
        (two, ("self ctx request", "self request"), True),
        (three, ("self request",), False),
        (anything, ("self request",), True),
        (method_of_anything, ("self request",), True),
        (standing_in, ("self request",), True),
        (standing_in, ("self ctx request",), False),
        (more, ("self request",), False),
        (nothing, ("self request",), False),
        (nothing, ("self",), True),
        (Opaque(), ("self request",), False),
        (None, ("self request",), False),
    ],
)
def test_what_fits(function: Callable[..., Any] | None, known: tuple[str, ...], fits: bool) -> None:
    assert takes(function, *known) is fits


@pytest.mark.parametrize(
    ("distribution", "shown"),
    [("opentelemetry-api", f"opentelemetry-api {version('opentelemetry-api')}"), ("none", "none")],
)
def test_the_warning_says_what_where_and_what_to_do(
    distribution: str, shown: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "everylayer"):
        warn_left_alone("a.b.close", distribution, "errors of closing", "everylayer-web")
    (record,) = caplog.records
    for part in (f"a.b.close of {shown} ", "errors of closing", "newer everylayer-web"):
        assert part in record.getMessage()


class Router:
    """Of a framework, one of whose methods is no longer what it was."""

    def call(self, request: Any) -> str:
        return "plain"

    def build(self, everything: Any) -> str:
        return "plain"


def doubled(original: Callable[..., str], _: Any) -> Callable[..., str]:
    return lambda *args: original(*args) * 2


def test_patches_replace_what_fits_once_and_put_it_back(caplog: pytest.LogCaptureFixture) -> None:
    before = dict(vars(Router))
    patches = Patches(
        "none",
        "everylayer-web",
        Target(Router, "call", "self request", doubled, "errors of calls"),
        Target(Router, "build", "self routes", doubled, "errors of building"),
        Target(Router, "gone", "self", doubled, "errors of what is gone"),
    )
    patches.undo()
    with caplog.at_level(logging.WARNING, "everylayer"):
        patches.put(patches)
        patches.put(patches)
    assert (Router().call(1), Router().build(1)) == ("plainplain", "plain")
    assert ["Router.build" in r.getMessage() for r in caplog.records] == [True, False]
    assert "Router.gone" in caplog.records[1].getMessage()
    patches.undo()
    assert dict(vars(Router)) == before
    patches.put(patches)
    assert Router().call(1) == "plainplain"
    patches.undo()
