"""Build one app many ways: with or without everylayer, beside stock in any order, or alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from litestar import Controller, Litestar, Router, get
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

import everylayer_litestar
from asgi_drive import Request
from contract.expect import ESCAPED, HANDLED, LATE, NOTHING, Expected
from contract.faults import PLAIN, Fault

try:
    from litestar.plugins.opentelemetry import OpenTelemetryConfig, OpenTelemetryPlugin
except ModuleNotFoundError:  # before 2.18
    from litestar.contrib.opentelemetry import OpenTelemetryConfig, OpenTelemetryPlugin

LEVELS = ("app", "router", "controller", "handler")
# Where Litestar's own stock stands; `alone` begins the server span itself.
ALONE, PLUGIN, FIRST, LAST, AROUND = "alone", "plugin", "first", "last", "around"
SETUPS = (ALONE, PLUGIN, FIRST, LAST, AROUND)
# What Litestar makes of an error that comes after the response has started.
AFTER_START = "litestar.exceptions.base_exceptions.LitestarException"


@dataclass(frozen=True)
class Kit:
    """Builds apps for one run.

    Attributes:
        setup: where stock stands; None leaves it out.
        ours: the app holds the plugin.
        settings: the plugin's.
    """

    setup: str | None = None
    ours: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)

    def app(
        self,
        view: Any,
        levels: Mapping[str, Sequence[Any]] | None = None,
        route: Any = get,
        handler: Mapping[str, Any] | None = None,
        controller: Mapping[str, Any] | None = None,
        router: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """Return an app with `view` in a controller in a router.

        Args:
            view: a function that takes `self`; it answers `/`.
            levels: middleware at each of LEVELS, outermost first.
            route: makes the handler of `view`.
            handler, controller, router: what else each of these is given.
            **options: what else the app is given.
        """
        at = {level: list((levels or {}).get(level, ())) for level in LEVELS}
        made = route("/", middleware=at["handler"], **(handler or {}))(view)
        body = {"path": "/", "middleware": at["controller"], "view": made, **(controller or {})}
        inner = Router(
            "/",
            route_handlers=[type("Pages", (Controller,), body)],
            middleware=at["router"],
            **(router or {}),
        )
        plugins: list[Any] = [*options.pop("plugins", ())]
        if self.ours:
            plugins.append(everylayer_litestar.EveryLayerPlugin(**self.settings))
        if self.setup == PLUGIN:
            plugins.insert(0, OpenTelemetryPlugin(OpenTelemetryConfig()))
        elif self.setup in (FIRST, LAST):
            place = 0 if self.setup == FIRST else len(at["app"])
            at["app"].insert(place, OpenTelemetryConfig().middleware)
        app = Litestar(
            [inner],
            middleware=at["app"],
            plugins=plugins,
            openapi_config=None,
            **{"logging_config": None, **options},
        )
        return OpenTelemetryMiddleware(app) if self.setup == AROUND else app


Build = Callable[[Kit], Any]


@dataclass(frozen=True)
class Case:
    """One row: an app, a request, and what its trace must show."""

    name: str
    build: Build
    fault: Fault = PLAIN
    expected: Expected = ESCAPED
    request: Request = field(default_factory=Request)
    setups: tuple[str, ...] = SETUPS

    def __str__(self) -> str:
        return self.name


CASES: list[Case] = []


def case(name: str, expected: Expected = ESCAPED, **more: Any) -> Callable[[Build], Build]:
    """Add the decorated builder to the table."""

    def add(build: Build) -> Build:
        CASES.append(Case(name, build, expected=expected, **more))
        return build

    return add


def escaped(layer: str | None, kind: str | None = "middleware", **more: Any) -> Expected:
    """The error leaves the app, or is answered with a 5xx."""
    return replace(ESCAPED, layer=layer, kind=kind, **more)


def handled(layer: str | None, kind: str | None = "middleware", **more: Any) -> Expected:
    """The error is answered below 500."""
    return replace(HANDLED, layer=layer, kind=kind, **more)


def late(layer: str | None, kind: str | None = "middleware", **more: Any) -> Expected:
    """The error comes after the server span has ended."""
    return replace(LATE, layer=layer, kind=kind, **{"also": (AFTER_START,), **more})


SILENT = NOTHING
