"""The neutral seams of layers that are awaited, around a framework of a few lines."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry import trace

from contract.expect import ESCAPED, HANDLED, NOTHING, check
from contract.faults import PLAIN, Fault, fault_site
from contract.telemetry import Telemetry, error_events, server_span
from everylayer import awaited
from everylayer.layers import Layer
from everylayer.settings import Settings, resolve

Call = Callable[[Any], Awaitable[Any]]
GATE, VIEW = Layer("Gate", "middleware", 0), Layer("view", "view")


class Refused(Exception):
    """An answer of the framework."""

    status = 403


REFUSED = Fault("refused", lambda: Refused("no"), Refused, "no")
LOST = Fault("lost", lambda: ConnectionError("lost"), ConnectionError, "lost")


class Exchange(awaited.Exchange):
    """Words of a framework whose requests are namespaces, and whose responses are dicts."""

    framework = "toy"

    @staticmethod
    def of(request: Any) -> Any:
        return getattr(request, "ledger", None)

    @staticmethod
    def keep(request: Any, exchange: awaited.Exchange) -> None:
        request.ledger = exchange

    @staticmethod
    def scope_of(request: Any) -> dict[str, Any]:
        return {"type": "http", "method": "GET", "path": request.path, "headers": []}

    @staticmethod
    def client_status(exc: BaseException) -> int | None:
        return exc.status if isinstance(exc, Refused) else None

    @staticmethod
    def is_of_client(exc: BaseException, request: Any) -> bool:
        return bool(request.gone) and isinstance(exc, ConnectionError)

    @staticmethod
    def has_begun(request: Any) -> bool:
        return bool(request.begun)

    @staticmethod
    def status_of(response: Any) -> int | None:
        if isinstance(response, Refused):
            return response.status
        return response["status"] if isinstance(response, dict) else None

    @staticmethod
    def headers_of(response: Any) -> Any:
        return None if response.get("sent") else response["headers"]


def request(**about: Any) -> Any:
    return SimpleNamespace(path="/", gone=False, begun=False, **about)


def prepare(handler: Any, request: Any, seam: awaited.Outermost) -> awaited.Chain:
    """Put a probe around the handler, and around the gate that it may hold."""
    call = seam.probe(handler, VIEW, "view")
    gate = getattr(handler, "gate", None)
    if gate is not None:
        inner = call

        async def through(request: Any) -> Any:
            return await gate(request, inner)

        call = seam.probe(through, GATE)
    return awaited.Chain(call, alone=True)


def serve(handler: Call, asked: Any = None, rules: Settings | None = None) -> Any:
    """Return the response, or the exception that leaves the chain."""
    seam = awaited.Outermost(Exchange, rules or resolve({}), prepare)
    asked = asked or request()

    async def main() -> Any:
        try:
            return await seam(asked, handler)
        except Exception as exc:
            return exc

    return asyncio.run(main())


def failing(fault: Fault, gate: Any = None) -> Call:
    async def view(request: Any) -> Any:
        fault_site(fault)

    view.gate = gate  # type: ignore[attr-defined]
    return view


async def fine(request: Any) -> Any:
    return {"status": 200, "headers": {}}


def answering(status: int, **about: Any) -> Any:
    async def gate(request: Any, inner: Call) -> Any:
        try:
            return await inner(request)
        except Exception:
            return {"status": status, "headers": {}, **about}

    return gate


async def refusing(request: Any, inner: Call) -> Any:
    fault_site(REFUSED)


@pytest.mark.parametrize(
    ("handler", "fault", "expected"),
    [
        (fine, PLAIN, NOTHING),
        (failing(PLAIN), PLAIN, ESCAPED),
        (failing(PLAIN, answering(200)), PLAIN, HANDLED),
        (failing(PLAIN, answering(503)), PLAIN, ESCAPED),
        (failing(REFUSED), REFUSED, NOTHING),
        (failing(PLAIN, refusing), REFUSED, HANDLED),
    ],
)
def test_the_outcome_of_a_request(
    handler: Call, fault: Fault, expected: Any, telemetry: Telemetry
) -> None:
    serve(handler)
    check(telemetry.spans, fault, expected)


def test_an_answer_that_comes_too_late_is_a_failure(telemetry: Telemetry) -> None:
    asked = request()
    asked.begun = True
    serve(failing(REFUSED), asked)
    check(telemetry.spans, REFUSED, ESCAPED)


@pytest.mark.parametrize(("gone", "expected"), [(True, NOTHING), (False, ESCAPED)])
def test_only_the_seam_can_tell_whose_connection_was_lost(
    gone: bool, expected: Any, telemetry: Telemetry
) -> None:
    asked = request()
    asked.gone = gone
    serve(failing(LOST), asked)
    check(telemetry.spans, LOST, expected)


def test_the_error_context_goes_with_whoever_sends_the_response(telemetry: Telemetry) -> None:
    rules = resolve({"error_context": "send"})
    name = rules.error_context_header
    assert "view" in serve(failing(PLAIN, answering(503)), rules=rules)["headers"][name]
    assert not serve(failing(PLAIN, answering(503, sent=True)), rules=rules)["headers"]
    asked = request()
    serve(failing(PLAIN), asked, rules)
    assert "view" in asked.ledger.told


def test_a_span_that_is_active_is_the_one(telemetry: Telemetry) -> None:
    tracer = trace.get_tracer("shop")
    with tracer.start_as_current_span("GET /", kind=trace.SpanKind.SERVER):
        serve(failing(PLAIN, answering(200)))
    assert server_span(telemetry.spans).name == "GET /"
    check(telemetry.spans, PLAIN, HANDLED)


def test_switched_off_nothing_is_kept(telemetry: Telemetry) -> None:
    asked = request()
    serve(failing(PLAIN), asked, Settings(enabled=False))
    assert not telemetry.spans
    assert not hasattr(asked, "ledger")


def test_nothing_of_a_settled_request_is_held(telemetry: Telemetry) -> None:
    asked = request()
    serve(failing(PLAIN), asked)
    assert list(asked.ledger.exceptions()) == []


def broken(*args: Any) -> Any:
    raise RuntimeError("broken")


@pytest.mark.parametrize(
    "name", ["scope_of", "client_status", "is_of_client", "has_begun", "headers_of"]
)
def test_a_word_that_fails_is_not_the_apps_failure(
    name: str, telemetry: Telemetry, failures: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Exchange, name, staticmethod(broken))
    rules = resolve({"error_context": "send"})
    assert isinstance(serve(failing(PLAIN), rules=rules), ValueError)
    assert serve(failing(PLAIN, answering(503)), rules=rules)["status"] == 503
    assert serve(fine, rules=rules)["status"] == 200
    assert failures
    recorded = [found.span.status.status_code.name for found in error_events(telemetry.spans)]
    # Without the words for a request there is no span to begin.
    assert recorded == ([] if name == "scope_of" else ["ERROR", "ERROR"])


def test_a_chain_that_cannot_be_prepared_runs_as_it_is(
    telemetry: Telemetry, failures: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "prepare", broken)
    assert isinstance(serve(failing(PLAIN)), ValueError)
    assert sum(failures.values()) == 1
    assert [found.event.name for found in error_events(telemetry.spans)] == ["exception"]


def test_a_package_must_say_every_word() -> None:
    words = [name for name, value in vars(awaited.Exchange).items() if type(value) is staticmethod]
    assert len(words) == 8
    for name in words:
        word = getattr(awaited.Exchange, name)
        with pytest.raises(NotImplementedError):
            word(*([None] * word.__code__.co_argcount))
