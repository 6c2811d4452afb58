"""What must hold for anything that comes from outside; shared by CI and by the long run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

from opentelemetry import context, trace

from contract.telemetry import Telemetry, reset
from everylayer import asgi, failsafe, signals, stacktrace, text, wsgi
from everylayer.settings import Settings, SettingsError, resolve

LOOP = asyncio.new_event_loop()


class AppError(Exception):
    """What the app itself raises."""


def settings_are_read_or_refused(environ: Mapping[str, str]) -> None:
    """Settings come out whole, or `SettingsError` names what is wrong in a line or two."""
    try:
        found = resolve(environ=environ)
    except SettingsError as refused:
        said = str(refused)
        assert said.startswith("everylayer")
        assert any(name[len("EVERYLAYER_") :].lower() in said.lower() for name in environ)
        assert len(said) < 2000 + max(map(len, environ))
    else:
        assert isinstance(found, Settings)
        # What came out is fit to go in again.
        assert Settings(**{name: getattr(found, name) for name in vars(found)}) == found
    to_spans, to_logs = signals.wanted(environ)
    assert to_spans or to_logs


def asgi_request_is_served(scope: dict[str, Any], *, fails: bool) -> None:
    """A seam around the app raises what the app raises, and exports what can be exported."""
    error = AppError("of the app")
    sent: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if fails:
            raise error
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    for seam in (_Alone(app, Settings()), asgi.Seam(app, Settings())):
        telemetry, before = reset(), dict(failsafe.own_failures())
        raised: BaseException | None = None
        sent.clear()
        try:
            LOOP.run_until_complete(seam(dict(scope), receive, send))
        except BaseException as exc:
            raised = exc
        assert raised is (error if fails else None)
        assert bool(sent) is not fails
        _exported(telemetry, fails=fails or type(seam) is _Alone, failed=before)


class _Alone(asgi.Seam):
    """A seam that knows that nothing inside starts a server span."""

    def alone(self) -> bool:
        return True


def wsgi_request_is_served(environ: dict[str, Any], *, fails: bool) -> None:
    """The same for WSGI."""
    error = AppError("of the app")

    def app(environ: Any, start_response: Any) -> list[bytes]:
        if fails:
            raise error
        start_response("200 OK", [])
        return [b"fine"]

    telemetry, before = reset(), dict(failsafe.own_failures())
    raised: BaseException | None = None
    try:
        wsgi.Seam(app, Settings())(dict(environ), lambda *args: lambda data: None)
    except BaseException as exc:
        raised = exc
    assert raised is (error if fails else None)
    _exported(telemetry, fails=fails, failed=before)


def _exported(telemetry: Telemetry, *, fails: bool, failed: Mapping[str, int]) -> None:
    spans = telemetry.spans
    assert len(spans) == fails, "no error is lost, however malformed the request"
    assert trace.get_current_span() is trace.INVALID_SPAN
    assert context.get_current() == {}
    for span in spans:
        for value in _strings(span.name, span.attributes, span.status.description):
            value.encode()
        for event in span.events:
            for value in _strings(event.name, event.attributes):
                value.encode()
    # What `contained` takes is what the instrumentation's own functions cannot read.
    new = {k for k, n in failsafe.own_failures().items() if n != failed.get(k, 0)}
    assert new <= _READERS, new


_READERS = {
    f"everylayer.{module}.{name}"
    for module, names in (
        ("asgi_span", ("_name", "request_context", "_attributes")),
        ("wsgi_span", ("_name", "request_context", "_attributes")),
    )
    for name in names
}


def _strings(*values: Any) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, Mapping):
            yield from _strings(*value.keys(), *value.values())
        elif isinstance(value, (list, tuple)):
            yield from _strings(*value)


def text_is_bounded(raw: str, limit: int) -> None:
    """Each way to shorten keeps its bound, gives valid text, and changes it once only."""
    done = text.cut(raw, limit)
    assert len(done.encode()) <= limit
    assert text.cut(done, limit) == done
    short = text.shorten(raw, limit)
    assert len(short) <= limit
    assert text.shorten(short, limit) == short
    short.encode()
    line = text.one_line(raw, limit)
    assert len(line) <= limit
    assert len(line.splitlines()) <= 1
    assert text.one_line(line, limit) == line
    line.encode()
    assert text.clean(text.clean(raw)) == text.clean(raw)


def stack_is_bounded(exc: BaseException, budget: int) -> None:
    """A rendered stack keeps its budget, is valid, and says nothing different the second time."""
    before = dict(failsafe.own_failures())
    done = stacktrace.render(exc, max_bytes=budget)
    assert len(done.encode()) <= budget
    assert stacktrace.render(exc, max_bytes=budget) == done
    if budget >= 1:
        assert done
    assert dict(failsafe.own_failures()) == before
