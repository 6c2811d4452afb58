"""Chaos in running apps: real errors in real layers, reproducible, and gone when it is stopped."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware as StockASGI
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware as StockWSGI

import everylayer
from contract.drive import call_asgi, environ, run_wsgi, scope
from contract.telemetry import Telemetry, error_events, server_span
from everylayer import asgi, chaos, settings, wsgi
from everylayer.chaos import Chaos, ChaosError, ChaosRefused, PlanError, Rule
from everylayer.chaos.journal import Seen, read
from everylayer.chaos.permit import VARIABLE
from everylayer.settings import Settings

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
HEADERS = [("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01")]

new_enough = pytest.mark.skipif(sys.version_info < (3, 12), reason="chaos needs 3.12")


@pytest.fixture(autouse=True)
def _staging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(VARIABLE, "staging")
    tools = _tools()
    yield
    chaos.stop()
    assert _tools() == tools


def _tools() -> list[str | None]:
    if sys.version_info < (3, 12):
        return []
    return [sys.monitoring.get_tool(number) for number in range(6)]


class Auth:
    """A WSGI layer."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(self, environ: Any, start_response: Any) -> Any:
        body = self.app(environ, start_response)
        return body  # noqa: RET504 - something is left to run after the call


class Recover:
    """A WSGI layer that answers for errors further in."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(self, environ: Any, start_response: Any) -> Any:
        try:
            return self.app(environ, start_response)
        except Exception:
            start_response("503 Service Unavailable", [])
            return [b"later"]


def view(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]


def make_wsgi() -> Any:
    return StockWSGI(wsgi.Seam(Recover(Auth(view)), Settings()))


class Gate:
    """An ASGI layer."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


async def page(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


@new_enough
def test_a_layer_of_a_wsgi_app_fails_and_the_error_arrives(telemetry: Telemetry) -> None:
    app = make_wsgi()
    with chaos.start(app, Chaos((Rule("Auth", status=503),))) as running:
        answer = run_wsgi(app, environ("/", HEADERS))
    assert (answer.status, answer.body, answer.raised) == (503, b"later", None)
    span = server_span(telemetry.spans)
    assert span.context is not None
    assert f"{span.context.trace_id:032x}" == TRACE
    (found,) = error_events([span])
    (fault,) = running.journal.faults
    values = dict(found.event.attributes or {})
    assert values["exception.type"] == "everylayer.chaos.errors.ChaosError"
    assert str(values["exception.message"]).startswith(f"{fault.token}: fault in Auth (before)")
    assert TRACE in str(values["exception.message"])
    assert values["everylayer.layer.name"] == "Auth"
    assert "in __call__\n    def __call__(" in str(values["exception.stacktrace"])
    assert (fault.trace_id, fault.layer, fault.phase, fault.status) == (
        TRACE,
        "Auth",
        "before",
        503,
    )


@new_enough
def test_the_exception_carries_the_trace_id(telemetry: Telemetry) -> None:
    caught: list[BaseException] = []

    class Catch(Recover):
        def __call__(self, environ: Any, start_response: Any) -> Any:
            try:
                return self.app(environ, start_response)
            except Exception as error:
                caught.append(error)
                raise

    app = Catch(StockWSGI(Auth(view)))
    with chaos.start(app, Chaos((Rule("Auth", error="KeyError"),))):
        assert run_wsgi(app, environ("/", HEADERS)).raised is not None
    assert type(caught[0]) is KeyError
    assert caught[0].trace_id == TRACE  # type: ignore[attr-defined]
    assert TRACE in str(caught[0])


@new_enough
def test_after_stop_nothing_is_left(telemetry: Telemetry) -> None:
    app = make_wsgi()
    for _ in range(2):
        running = chaos.start(app, Chaos((Rule("*", "*"),)))
        assert run_wsgi(app, environ("/", HEADERS)).status != 200
        running.stop()
        running.stop()
        answer = run_wsgi(app, environ("/", HEADERS))
        assert (answer.status, answer.body) == (200, b"ok")
    assert len(running.journal.faults) == 1
    assert not any("everylayer.faults" in str(tool) for tool in _tools())


@new_enough
def test_the_same_traces_fail_again_and_no_others(telemetry: Telemetry) -> None:
    app = make_wsgi()
    plan = Chaos((Rule("Auth", probability=0.3), Rule("view", modulus=(5, 0))))

    def failing() -> dict[int, bytes]:
        with chaos.start(app, plan):
            return {
                number: answer.body
                for number in range(1, 60)
                if (
                    answer := run_wsgi(
                        app, environ("/", [("traceparent", f"00-{number:032x}-{7:016x}-01")])
                    )
                ).status
                != 200
            }

    first = failing()
    assert 59 * 0.2 < len(first) < 59 * 0.7
    assert set(range(5, 60, 5)) <= set(first)
    assert failing() == first


@new_enough
def test_the_first_rule_that_chooses_a_trace_has_it(telemetry: Telemetry) -> None:
    app = make_wsgi()
    rules = Rule("view", error="KeyError", modulus=(2, 0)), Rule("Auth", error="OSError")
    with chaos.start(app, Chaos(rules)) as running:
        for number in range(1, 9):
            run_wsgi(app, environ("/", [("traceparent", f"00-{number:032x}-{7:016x}-01")]))
    assert [fault.error for fault in running.journal.faults] == ["OSError", "KeyError"] * 4
    assert [fault.layer for fault in running.journal.faults] == ["Auth", "view"] * 4


@new_enough
def test_a_layer_outside_the_span_fails_by_what_the_headers_say(telemetry: Telemetry) -> None:
    app = Recover(StockWSGI(view))
    with chaos.start(app, Chaos((Rule("Recover", trace_id=TRACE[:6]),))) as running:
        assert run_wsgi(app, environ("/", HEADERS)).raised is not None
        # Nobody could ask for this one again: its trace begins further in.
        assert run_wsgi(app, environ("/")).status == 200
        assert run_wsgi(app, environ("/", [("traceparent", "nonsense")])).status == 200
    assert [fault.trace_id for fault in running.journal.faults] == [TRACE]


@new_enough
def test_an_asgi_app(telemetry: Telemetry) -> None:
    app = asgi.Seam(Gate(StockASGI(Gate(page))), Settings())
    everywhere = Chaos((Rule("Gate", "*", status=500),))

    async def serve() -> list[Any]:
        # Some layers stand outside of the span, and the fault comes before or after the answer.
        return [
            (await call_asgi(app, scope("/", [("traceparent", f"00-{n:032x}-{7:016x}-01")]))).raised
            for n in range(1, 30)
        ]

    with chaos.start(app, everywhere) as running:
        raised = asyncio.run(serve())
    assert all(each is not None for each in raised)
    assert {fault.phase for fault in running.journal.faults} >= {"before", "after"}
    found = {
        str((each.event.attributes or {})["exception.message"]).split(":")[0]
        for each in error_events(telemetry.spans)
    }
    assert {fault.token for fault in running.journal.faults} <= found


@new_enough
def test_the_journal_holds_what_came_by(telemetry: Telemetry, tmp_path: Path) -> None:
    app = make_wsgi()
    file = tmp_path / "chaos.jsonl"
    with chaos.start(app, Chaos((Rule("Auth", trace_id="f"),), journal=str(file))) as running:
        run_wsgi(app, environ("/", HEADERS))
        run_wsgi(app, environ("/", [("traceparent", f"00-{'f' * 32}-{7:016x}-00")]))
    span = server_span(telemetry.spans)
    assert span.context is not None
    first, second, fault = read(file)
    assert first == Seen(TRACE, f"{span.context.span_id:016x}")
    assert second.trace_id == fault.trace_id == "f" * 32
    assert not second.sampled
    assert not fault.sampled
    assert tuple(read(file)) == running.journal.entries


@new_enough
def test_the_setting_names_the_plan(telemetry: Telemetry, tmp_path: Path) -> None:
    file = tmp_path / "chaos.json"
    file.write_text('{"rules": [{"layer": "Auth"}]}')
    app = make_wsgi()
    with pytest.raises(ChaosRefused, match="the setting chaos is empty"):
        chaos.start(app)
    everylayer.configure(chaos=str(file))
    with chaos.start(app):
        assert run_wsgi(app, environ("/", HEADERS)).status == 503
    settings.reset()


@new_enough
@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (Rule("Nobody"), "layer is 'Nobody' and phase 'before', which no layer of this app fits"),
        (Rule("Auth", "background"), "There are: Recover, Auth, view."),
        (Rule("Auth", error="UnicodeDecodeError"), "can be made from a message alone"),
    ],
)
def test_a_plan_that_does_not_fit_is_refused_and_leaves_nothing(rule: Rule, said: str) -> None:
    with pytest.raises(PlanError) as found:
        chaos.start(make_wsgi(), Chaos((Rule("Auth"), rule)))
    assert said in str(found.value)


@new_enough
def test_what_is_no_app_is_refused() -> None:
    with pytest.raises(ChaosRefused, match="neither a WSGI nor an ASGI app"):
        chaos.start(object(), Chaos((Rule(),)))


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="chaos can begin")
def test_an_older_python_is_refused_with_the_reason() -> None:
    with pytest.raises(ChaosRefused, match=r"needs Python 3\.12 or newer: on 3\.1[01]"):
        chaos.start(make_wsgi(), Chaos((Rule(),)))


def test_a_fault_is_an_error_like_any_other() -> None:
    assert issubclass(ChaosError, Exception)
    assert ChaosError("x").trace_id == ""
