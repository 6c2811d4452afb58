"""A function of Django that is not what it was is left alone: the app works, the log says so."""

from __future__ import annotations

import importlib
import inspect
import logging
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import django
import pytest

from contract.expect import check
from contract.responses import same
from contract.telemetry import Telemetry
from djangoapp.cases import ASGI, CASES, WSGI
from djangoapp.serve import run
from everylayer_django import patches
from test_corpus import without_frames

IDS = [f"{patch.owner.rpartition(':')[2] or 'exception'}.{patch.name}" for patch in patches.PATCHES]
# Each is seen by more than one seam.
NAMES = {"view", "plain.before-outermost", "mixin.process_response-inside"}
TRIED = [case for case in CASES if case.name in NAMES]


def changed(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return `original` as a later version might have it: it takes one thing more."""
    if inspect.iscoroutinefunction(original):

        async def later(*args: Any, of_a_later_version: None = None, **kwargs: Any) -> Any:
            return await original(*args, **kwargs)

    else:

        def later(*args: Any, of_a_later_version: None = None, **kwargs: Any) -> Any:
            return original(*args, **kwargs)

    return later


def handing_on(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return `original` with a function around it that does not say what it takes."""

    def around(*args: Any, **kwargs: Any) -> Any:
        return original(*args, **kwargs)

    return around


def change(
    patch: patches.Patch,
    monkeypatch: pytest.MonkeyPatch,
    how: Callable[[Callable[..., Any]], Callable[..., Any]] = changed,
) -> Any:
    """Put something else in the place of what `patch` replaces, and return where that is."""
    module, _, name = patch.owner.partition(":")
    owner = importlib.import_module(module)
    owner = getattr(owner, name) if name else owner
    original = inspect.getattr_static(owner, patch.name)
    later: Any = how(getattr(owner, patch.name))
    if isinstance(original, staticmethod):
        later = staticmethod(later)
    monkeypatch.setattr(owner, patch.name, later)
    return owner


@pytest.mark.parametrize("server", [WSGI, ASGI])
@pytest.mark.parametrize("patch", patches.PATCHES, ids=IDS)
def test_a_changed_target_is_left_alone(
    patch: patches.Patch,
    server: str,
    telemetry: Telemetry,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    owner = change(patch, monkeypatch)
    later = inspect.getattr_static(owner, patch.name)
    with caplog.at_level(logging.WARNING, "everylayer"):
        for case in TRIED:
            before = run(case, server)
            telemetry.clear()
            after = run(case, server, stock=True, position="first")
            same(without_frames(before), without_frames(after))
            check(telemetry.spans, case.fault, case.expected)
    assert len(TRIED) == len(NAMES)
    assert inspect.getattr_static(owner, patch.name) is later
    (said,) = [record.getMessage() for record in caplog.records if record.name == "everylayer"]
    stock = "opentelemetry-instrumentation-django"
    of_stock = patch.owner.startswith("opentelemetry")
    framework = f"{stock} {version(stock)}" if of_stock else f"Django {django.get_version()}"
    for part in (
        f"{patch.owner.replace(':', '.').rstrip('.')}.{patch.name} of {framework} ",
        patch.why,
        "newer everylayer-django",
    ):
        assert part in said


@pytest.mark.parametrize("patch", patches.PATCHES, ids=IDS)
def test_one_that_hands_on_whatever_it_is_given_fits(
    patch: patches.Patch, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So do other instrumentations that came before."""
    owner = change(patch, monkeypatch, handing_on)
    later = inspect.getattr_static(owner, patch.name)
    with caplog.at_level(logging.WARNING, "everylayer"):
        patches.install()
    assert inspect.getattr_static(owner, patch.name) is not later
    assert caplog.records == []
    patches.uninstall()
    assert inspect.getattr_static(owner, patch.name) is later
