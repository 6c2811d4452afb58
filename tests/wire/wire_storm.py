"""Errors as bad as they come, and requests that fail by them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind

from everylayer.layers import Layer
from everylayer.ledger import Ledger
from everylayer.observer import observe
from everylayer.settings import resolve

# As stock instrumentation has them on a server span.
HTTP: dict[str, str | int] = {
    "http.request.method": "POST",
    "http.response.status_code": 500,
    "http.route": "/customers/{customer}/orders/{order}/lines/{line}",
    "url.scheme": "https",
    "url.path": "/customers/7f9c2ba4-e88f-11ec-8fea-0242ac120002/orders/1234567/lines/12",
    "url.query": "expand=customer,lines,payments&include=history&page=3&size=100",
    "server.address": "orders.internal.example.com",
    "server.port": 8443,
    "client.address": "10.111.222.233",
    "network.protocol.version": "1.1",
    "user_agent.original": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/126.0",
}
GATE = Layer("shop.middleware.AuthenticationMiddleware", "middleware", 3)


class StormError(Exception):
    """An error of a request."""


def deep(text: str, depth: int = 40) -> None:
    """Raise at the end of `depth` calls that take turns, as frameworks do."""
    if depth:
        return other_deep(text, depth - 1)
    raise StormError(text)


def other_deep(text: str, depth: int) -> None:
    """Call `deep`, from another line of another function."""
    return deep(text, depth - 1) if depth else deep(text, 0)


def chained(text: str) -> BaseException:
    """Return an error with ten causes, each forty calls deep."""
    last: BaseException | None = None
    for number in range(10):
        try:
            try:
                deep(f"{number}: {text}")
            except StormError as exc:
                raise StormError(f"{number}, translated: {text}") from (last or exc)
        except StormError as exc:
            last = exc
    assert last is not None
    return last


def huge(text: str) -> BaseException:
    """Return an error with a message of 24 kB."""
    return _caught(f"{text} {'lorem ipsum ' * 2_000}")


def grouped(text: str) -> BaseException:
    """Return a group of 40 errors, a chain before 3.11."""
    if sys.version_info < (3, 11):
        return chained(text)
    return ExceptionGroup(text, [_caught(f"{text} of member {n}") for n in range(40)])  # type: ignore[misc]


def surrogates(text: str) -> BaseException:
    """Return an error full of lone surrogates and characters of four bytes."""
    return _caught(f"{text} " + "\udc80🦊\ud800é" * 1_500)


KINDS: dict[str, Callable[[str], BaseException]] = {
    "chained": chained,
    "huge": huge,
    "grouped": grouped,
    "surrogates": surrogates,
}


def _caught(text: str) -> BaseException:
    try:
        deep(text)
    except StormError as exc:
        return exc
    raise AssertionError


class Storm:
    """Makes errors by the thousand: each a new one, which has one of each kind for its cause."""

    def __init__(self, *kinds: str) -> None:
        self._causes = [KINDS[kind](f"customer {kind}") for kind in kinds or KINDS]

    def errors(self, number: int, count: int) -> Iterator[BaseException]:
        """Yield `count` errors of request `number`."""
        for turn in range(count):
            cause = self._causes[(number + turn) % len(self._causes)]
            try:
                # The message of the cause, however long.
                raise StormError(f"{number}.{turn}: {cause}") from cause
            except StormError as exc:
                yield exc


def request(
    provider: TracerProvider, errors: Iterable[BaseException], **overrides: Any
) -> trace.Span:
    """Let one request fail by `errors`, all seen at one layer."""
    span = provider.get_tracer("stock").start_span(
        "POST " + str(HTTP["http.route"]), kind=SpanKind.SERVER, attributes=HTTP
    )
    ledger = Ledger(resolve(overrides))
    ledger.bind(span)
    for exc in errors:
        observe(exc, GATE, ledger=ledger)
    ledger.responded(500)
    ledger.close()
    span.end()
    return span
