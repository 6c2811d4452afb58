"""A method of Starlette that is not what it was is left alone: the app works, the log says so."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any

import fastapi
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from asgi_drive import Request, converse
from asgi_kit import Kit
from asgi_layers import AnswersLater, Calm, Raiser
from cases_layers import CALM_ROUTES
from contract.expect import HANDLED, check
from contract.faults import PLAIN, fault_site
from contract.responses import Run
from contract.telemetry import Telemetry, error_events
from everylayer_starlette import EveryLayerMiddleware, patches
from everylayer_starlette.instrumentor import EveryLayerStarletteInstrumentor

NAMES = [patch.name for patch in patches.PATCHES]


def changed(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return `original` as a later version might have it: it takes one thing more."""

    def later(self: Any, *args: Any, of_a_later_version: None = None, **kwargs: Any) -> Any:
        return original(self, *args, **kwargs)

    return later


@pytest.fixture(autouse=True)
def _unpatched() -> Iterator[None]:
    """Begin with Starlette as it is; `monkeypatch` has put that back when this ends."""
    patches.remove()
    patches._say_once.cache_clear()
    yield
    patches.remove()
    patches._say_once.cache_clear()
    patches.install()


def swallowing(cls: type[Any], **kwargs: Any) -> Any:
    """Return an app whose outer layer answers what its inner one raises."""
    app = cls(**kwargs)
    app.router.routes.extend(CALM_ROUTES)
    app.add_middleware(Raiser)
    app.add_middleware(AnswersLater, status=200)
    return app


def seen(run: Run) -> Any:
    return run.status, run.headers, run.body, run.raised and (run.raised.type, run.raised.message)


def kit_arguments(cls: type[Any]) -> dict[str, Any]:
    return Kit().telemetry() if cls is fastapi.FastAPI else {}


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "everylayer"]


@pytest.mark.parametrize("cls", [Starlette, fastapi.FastAPI])
@pytest.mark.parametrize("name", NAMES)
def test_a_changed_target_is_left_alone(
    name: str,
    cls: type[Any],
    telemetry: Telemetry,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    later = changed(vars(Starlette)[name])
    monkeypatch.setattr(Starlette, name, later)
    before = converse(swallowing(cls, **kit_arguments(cls)), Request())
    with caplog.at_level(logging.WARNING, "everylayer"):
        patches.install()
        patches.install()
    (said,) = warned(caplog)
    why = next(patch.why for patch in patches.PATCHES if patch.name == name)
    target = f"starlette.applications.Starlette.{name} of starlette {version('starlette')}"
    for part in (target, why, "newer everylayer-starlette"):
        assert part in said
    assert vars(Starlette)[name] is later

    telemetry.clear()
    app = swallowing(cls, **kit_arguments(cls))
    app.add_middleware(EveryLayerMiddleware)
    after = converse(app, Request())
    assert seen(before) == seen(after)
    check(telemetry.spans, PLAIN, HANDLED)


def test_a_changed_fastapi_is_left_alone(
    telemetry: Telemetry,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = "build_middleware_stack"
    monkeypatch.setattr(fastapi.FastAPI, name, changed(fastapi.FastAPI.build_middleware_stack))
    with caplog.at_level(logging.WARNING, "everylayer"):
        patches.install()
    (said,) = warned(caplog)
    assert f"fastapi.applications.FastAPI.{name} of fastapi {version('fastapi')}" in said
    app = swallowing(fastapi.FastAPI, **kit_arguments(fastapi.FastAPI))
    app.add_middleware(EveryLayerMiddleware)
    assert converse(app, Request()).status == 200
    check(telemetry.spans, PLAIN, HANDLED)


@pytest.mark.parametrize("name", NAMES)
def test_without_a_line_of_code_what_is_left_still_sees(
    name: str, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(request: Any) -> PlainTextResponse:
        fault_site(PLAIN)

    monkeypatch.setattr(Starlette, name, changed(vars(Starlette)[name]))
    instrumentor = EveryLayerStarletteInstrumentor()
    instrumentor.instrument()
    try:
        app = Starlette(routes=[Route("/", failing)], middleware=[Middleware(Calm)])
        run = converse(app, Request())
    finally:
        instrumentor.uninstrument()
    assert run.status == 500
    assert run.raised is not None
    assert run.raised.type is ValueError
    assert len(error_events(telemetry.spans)) == (0 if name == "__call__" else 1)


def test_nothing_is_said_of_the_starlette_that_is_there(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "everylayer"):
        patches.install()
    assert warned(caplog) == []
    assert all(hasattr(vars(Starlette)[name], patches._PATCH) for name in NAMES)


def test_a_subclass_of_the_users_that_takes_more_works(
    caplog: pytest.LogCaptureFixture, telemetry: Telemetry
) -> None:
    patches.install()
    with caplog.at_level(logging.WARNING, "everylayer"):

        class Shop(Starlette):
            def build_middleware_stack(self, quietly: bool = True) -> Any:
                assert quietly
                return super().build_middleware_stack()

    app = swallowing(Shop)
    app.add_middleware(EveryLayerMiddleware)
    assert converse(app, Request()).status == 200
    check(telemetry.spans, PLAIN, HANDLED)
    (said,) = warned(caplog)
    assert "Shop.build_middleware_stack" in said
