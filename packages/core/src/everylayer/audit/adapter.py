"""What the audit asks of a framework, and who answers: the entry points `everylayer_audit`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, Protocol

from ..faults.point import Point
from .hosts import DEFAULT
from .late import LATE, Late, tell_missing
from .model import Answer, Arm, ChainNode, Interface, Phase, Request, Shape

GROUP = "everylayer_audit"


@dataclass(frozen=True)
class Chain:
    """An app's chain, outermost first, and where in it a fault can be put.

    Attributes:
        points: by id of the node and phase; a node's `phases` are those that it has here.
    """

    nodes: tuple[ChainNode, ...]
    points: dict[tuple[str, Phase], Point] = field(default_factory=dict)


@dataclass(frozen=True)
class Opened:
    """An app that is ready for its first request.

    Attributes:
        app: what a server would call.
        stock: "" if stock instrumentation is on, else why it is not.
        host: one that the app answers for.
        driver: starts what sends requests to an app that is neither WSGI nor ASGI.
        request: what will be sent, where the framework completes what was asked for.
    """

    app: Any
    interface: Interface
    chain: Chain
    stock: str = ""
    host: str = DEFAULT
    driver: Callable[[], Driver] | None = None
    request: Request | None = None


class Driver(Protocol):
    """Sends requests to one app.

    Attributes:
        leftover: the span that was still the current one after the last request, in
            hexadecimal; "" for none.
    """

    leftover: str

    def send(self, request: Request) -> Answer:
        """Drive `request` to its end; whatever the app raises is told in the Answer."""

    def close(self) -> None:
        """End the app, as a server that stops does."""


class Adapter(Protocol):
    """A framework's part; one instance serves one process, one app and one arm.

    The order is: `prepare`, import of the target, `claims`, `open`. Four methods are optional:
    `from_settings(module)` imports a settings module of Django's and returns its app, and
    `aim(request)` tells, before `open`, which request will be sent; `made()` returns the app that
    was made last, for a function of the user's that serves it and returns nothing; `surrounded()`
    tells, before `open`, that a layer around the app starts the server span already.
    """

    framework: str

    def prepare(self, arm: Arm) -> None:
        """Switch on what must be there before the app is imported."""

    def claims(self, app: object) -> bool:
        """Tell whether `app` is of this framework."""

    def open(self, app: Any, arm: Arm, shape: Shape) -> Opened:
        """Complete the instrumentation, add the layer that `shape` asks for, read the chain.

        The layer is the outermost of the app's own: it answers 200 to any Exception for
        `swallowed`, raises another from it for `translated`, and is not there for `raised`.
        """

    def chain(self, app: Any) -> Chain:
        """Read the chain of an app that serves already, and add nothing to it.

        `prepare` and `open` need not be called before. What needs code of an adapter's own in
        the app, such as a body that fails half-way, may have no point here.
        """


def adapters() -> list[Adapter]:
    """Return one of each framework whose everylayer package is installed, by name.

    One that cannot be imported says so on stderr: its framework may be gone, or too old.
    """
    found: list[Adapter] = []
    for point in sorted(entry_points(group=GROUP), key=lambda each: each.name):
        try:
            found.append(Late(point) if point.name in LATE else point.load()())
        except ImportError as error:
            tell_missing(point.name, error)
    return found
