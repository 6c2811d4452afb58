"""Customers of the two shops: most are served, some requests fail, each in a layer of its own."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

from prometheus_world import App


class Visit(NamedTuple):
    """One kind of request, and how often it comes among the others."""

    weight: float
    path: str
    fail: str = ""
    tenant: str = "acme"


_SERVED = (
    Visit(60, "/orders/7"),
    Visit(25, "/stock/espresso"),
    Visit(10, "/report.csv"),
    Visit(6, "/stock/tea"),  # OutOfStock: handled, 409
)
_EVERYWHERE = (
    Visit(3, "/orders/7", "view"),
    Visit(1.6, "/orders/7", "authentication"),
    Visit(1.2, "/stock/espresso", "inventory"),
    Visit(0.8, "/orders/7", "access_log"),
    Visit(1.2, "/stock/tea", "error_page"),  # fails while it answers for another error
    Visit(0.7, "/report.csv", "stream"),
    # A message that quotes what it should not.
    Visit(0.5, "/orders/7", tenant="jane@example.com"),
    Visit(0.3, "/orders/7", tenant="4111 1111 1111 1111"),
)
VISITS: dict[str, Sequence[Visit]] = {
    "flask-shop": (
        *_SERVED,
        *_EVERYWHERE,
        Visit(1, "/orders/7", "audit"),
        Visit(0.9, "/orders/7", "release"),
        Visit(0.6, "/orders/7", "limits"),
    ),
    "starlette-shop": (
        *_SERVED,
        *_EVERYWHERE,
        Visit(1.5, "/orders/7", "background"),
        Visit(0.7, "/offers", "render"),
        Visit(0.8, "/orders/7", "pricing"),
    ),
}


class Customers:
    """Visits one shop until `stop` is set, with tides as a day has them.

    Args:
        app: the shop.
        visits: what they ask for.
        rate: requests a second, about.
        tide: seconds from one high tide to the next.
        stop: the end.
    """

    def __init__(
        self, app: App, visits: Sequence[Visit], rate: float, tide: float, stop: threading.Event
    ) -> None:
        self._app = app
        self._visits = visits
        self._weights = [visit.weight for visit in visits]
        self._rate = rate
        self._tide = tide
        self._stop = stop
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Let them come."""
        self._thread.start()

    def _run(self) -> None:
        began = time.monotonic()
        while True:
            turn = 2 * math.pi * (time.monotonic() - began) / self._tide
            rate = self._rate * (1 - 0.3 * math.sin(turn))
            if self._stop.wait(random.expovariate(rate)):
                return
            (visit,) = random.choices(self._visits, self._weights)
            headers = {"authorization": "Bearer secret", "x-tenant": visit.tenant}
            if visit.fail:
                headers["x-fail"] = visit.fail
            try:
                self._app.ask(visit.path, headers)
            except (OSError, ValueError):
                # A stream that breaks off.
                continue
