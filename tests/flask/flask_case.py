"""One case of the corpus: how an app fails, and what its trace must show."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from flask import Flask

from contract.expect import Expected
from contract.faults import PLAIN, Fault

Build = Callable[[Flask, Fault], Any]


@dataclass(frozen=True)
class Case:
    """One way to fail.

    Attributes:
        name: id of the case.
        build: adds the failing parts to an app that has `/` and `/ok`; may return another WSGI
            callable to be served in the app's place.
        expected: the outcome where no other instrumentation is there.
        with_stock: the outcome with stock instrumentation, whose span ends early; None: the same.
        fault: what is raised.
        path: what is asked for.
        method: of the request.
        config: of the app, set before anything else.
        either: with stock, the order of set-up says whether its span has ended.
        hang_up: the client goes away after so many chunks.
    """

    name: str
    build: Build
    expected: Expected
    with_stock: Expected | None = None
    fault: Fault = PLAIN
    path: str = "/"
    method: str = "GET"
    config: Mapping[str, Any] = field(default_factory=dict)
    either: bool = False
    hang_up: int | None = None

    def outcome(self, *, stock: bool) -> Expected:
        """Return what the trace must show."""
        return self.with_stock if stock and self.with_stock is not None else self.expected

    def __str__(self) -> str:
        return self.name


class Table:
    """Cases, in the order in which their functions are written."""

    def __init__(self) -> None:
        self._cases: list[Case] = []

    def __iter__(self) -> Iterator[Case]:
        return iter(self._cases)

    def add(self, expected: Expected, **about: Any) -> Callable[[Build], Build]:
        """Make a case of the decorated function, under its name."""

        def taken(build: Build) -> Build:
            name = about.pop("name", build.__name__)
            self._cases.append(Case(name, build, expected, **about))
            return build

        return taken

    def vary(self, faults: tuple[Fault, ...], *, of: str) -> None:
        """Repeat the case named `of` for each of `faults`."""
        base = next(case for case in self._cases if case.name == of)
        self._cases += [replace(base, name=f"{of}-{f.name}", fault=f) for f in faults]


CASES = Table()
