"""The table of cases: an app, a request, and what its trace must show."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import Any

from packaging.version import Version

from asgi_drive import Request
from asgi_kit import BARE, OWN, Kit, Setup
from contract.expect import ESCAPED, HANDLED, LATE, NOTHING, Expected
from contract.faults import PLAIN, Fault

Build = Callable[[Kit], Any]


@dataclass(frozen=True)
class Case:
    """One row.

    Attributes:
        name: id of the case.
        framework: `starlette`, `fastapi` or `asgi`: which setups it runs under.
        build: makes the app.
        fault: what is raised.
        expected: the outcome where a server span surrounds the whole app.
        request: what the client does.
        lasting: the outcome where the server span outlives the app; same as `expected` by default.
        but: outcomes that differ, by name of the setup.
        skip: names of setups that cannot hold it.
        since: a framework and the version from which on it behaves like this.
    """

    name: str
    framework: str
    build: Build
    fault: Fault = PLAIN
    expected: Expected = ESCAPED
    request: Request = field(default_factory=Request)
    lasting: Expected | None = None
    but: tuple[tuple[str, Expected], ...] = ()
    skip: tuple[str, ...] = ()
    since: tuple[str, str] | None = None

    def __str__(self) -> str:
        return self.name

    def outcome(self, setup: Setup) -> Expected:
        """Return what the trace must show under `setup`."""
        expected = dict(self.but).get(setup.name, self.expected)
        if expected is self.expected and expected.late and not setup.ends_early:
            expected = self.lasting or replace(expected, late=False, server_status=None)
        # Before 3.11 a frame does not know the qualified name of its function.
        return expected if sys.version_info >= (3, 11) else replace(expected, layer=None)

    def runs_under(self, setup: Setup) -> bool:
        """Tell whether `setup` is for this kind of app."""
        if self.since is not None and Version(version(self.since[0])) < Version(self.since[1]):
            return False
        return self.framework in setup.frameworks and setup.name not in self.skip

    def may_lack_server_span(self, setup: Setup) -> bool:
        """Tell whether no span at all is right: nothing failed and nobody else starts one."""
        unseen = (
            setup is BARE
            or (setup is OWN and self.request.kind == "websocket")
            or (setup.innermost and self.fault.departure)
        )
        return unseen and not self.expected.event


CASES: list[Case] = []


def case(
    name: str, framework: str = "starlette", expected: Expected = ESCAPED, **more: Any
) -> Callable[[Build], Build]:
    """Add the decorated builder to the table."""

    def add(build: Build) -> Build:
        CASES.append(Case(name, framework, build, expected=expected, **more))
        return build

    return add


def escaped(layer: str, kind: str = "middleware", **more: Any) -> Expected:
    """The error leaves the app, or is answered with a 5xx."""
    return replace(ESCAPED, layer=layer, kind=kind, **more)


def handled(layer: str, kind: str = "middleware", **more: Any) -> Expected:
    """The error is answered below 500."""
    return replace(HANDLED, layer=layer, kind=kind, **more)


def late(layer: str, kind: str = "middleware", **more: Any) -> Expected:
    """The error comes after the server span has ended."""
    return replace(LATE, layer=layer, kind=kind, **more)


SILENT = NOTHING
FAILED_SILENTLY = replace(NOTHING, status="ERROR")
