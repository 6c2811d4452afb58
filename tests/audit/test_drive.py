"""Requests that the audit drives: what a server would get, and what it would refuse."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Any
from wsgiref.validate import validator

import pytest
from opentelemetry import context, trace

from everylayer.audit import drive, response
from everylayer.audit.adapter import Chain, Opened
from everylayer.audit.drive_wsgi import environ_of
from everylayer.audit.model import Answer, Request
from everylayer.audit.wire import TargetError

PLAIN = [("Content-Type", "text/plain")]
Start = Callable[..., Any]
SPAN = trace.NonRecordingSpan(trace.SpanContext(1, 2, False))


def wsgi(app: Any, request: Request | None = None) -> Answer:
    with drive.driving(Opened(app, "wsgi", Chain(()))) as driver:
        return driver.send(request or Request())


def asgi(app: Any, request: Request | None = None) -> Answer:
    with drive.driving(Opened(app, "asgi", Chain(()))) as driver:
        return driver.send(request or Request())


def http(handler: Callable[[Any, Any, Any], Any]) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http", "no lifespan here"
        await handler(scope, receive, send)

    return app


async def started(send: Any, status: int = 200, headers: Any = ()) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})


async def ended(send: Any, body: bytes = b"") -> None:
    await send({"type": "http.response.body", "body": body})


def test_a_wsgi_app_gets_what_a_server_gives() -> None:
    seen: dict[str, Any] = {}

    def app(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        seen.update(environ, read=environ["wsgi.input"].read(9))
        start("201 Created", [*PLAIN, ("X-Answer", "yes")])
        return [b"a", b"bc"]

    headers = (("X-Tenant", "a"), ("x-tenant", "b"), ("Content-Type", "a/b"), ("host", "h"))
    answer = wsgi(validator(app), Request("POST", "/caf%C3%A9/x?q=%20#part", headers))
    assert answer == Answer(
        201,
        (*PLAIN, ("X-Answer", "yes")),
        hashlib.sha256(b"abc").hexdigest(),
        3,
    )
    assert seen["PATH_INFO"] == "/caf\xc3\xa9/x"
    assert seen["QUERY_STRING"] == "q=%20"
    assert seen["HTTP_X_TENANT"] == "a,b"
    assert seen["CONTENT_TYPE"] == "a/b"
    assert seen["CONTENT_LENGTH"] == "0"
    assert seen["HTTP_HOST"] == "h"
    assert seen["read"] == b""


def test_a_wsgi_app_that_writes_or_answers_late_is_no_breach() -> None:
    def writing(environ: Any, start: Start) -> Iterable[bytes]:
        write = start("200 OK", PLAIN)
        write(b"one ")
        return [b"two"]

    def late(environ: Any, start: Start) -> Iterator[bytes]:
        yield b""
        start("200 OK", PLAIN)
        yield b"one two"

    def replaced(environ: Any, start: Start) -> Iterable[bytes]:
        start("200 OK", [("X-First", "1")])
        try:
            raise ValueError("second thoughts")
        except ValueError:
            start("500 Oops", PLAIN, sys.exc_info())
        return [b"one two"]

    answers = [wsgi(app) for app in (writing, late, replaced)]
    assert [answer.status for answer in answers] == [200, 200, 500]
    assert {(answer.body, answer.hazards, answer.escaped) for answer in answers} == {
        (hashlib.sha256(b"one two").hexdigest(), (), "")
    }


def test_an_error_after_the_start_of_a_wsgi_body_comes_back_from_start_response() -> None:
    def app(environ: Any, start: Start) -> Iterator[bytes]:
        start("200 OK", PLAIN)
        yield b"half"
        try:
            raise ValueError("too late")
        except ValueError:
            start("500 Oops", PLAIN, sys.exc_info())
        yield b"never"

    answer = wsgi(app)
    assert (answer.status, answer.size, answer.escaped) == (200, 4, "ValueError: too late")
    assert answer.hazards == (response.AFTER_START,)


class Closing:
    """A body that tells of its end."""

    def __init__(self, chunks: Iterable[Any], fail: bool = False) -> None:
        self.chunks = chunks
        self.fail = fail
        self.closed = 0

    def __iter__(self) -> Iterator[Any]:
        yield from self.chunks

    def close(self) -> None:
        self.closed += 1
        if self.fail:
            raise KeyError("close")


def answering(body: Any) -> Any:
    def app(environ: Any, start: Start) -> Any:
        start("200 OK", PLAIN)
        return body

    return app


def test_a_wsgi_body_is_closed_whatever_happens_and_its_first_error_counts() -> None:
    def breaking() -> Iterator[bytes]:
        yield b"x"
        raise ValueError("broken")

    bodies = [Closing([b"x"]), Closing(breaking()), Closing([b"x"], True)]
    both = Closing(breaking(), True)
    answers = [wsgi(answering(body)) for body in (*bodies, both)]
    assert [answer.escaped for answer in answers] == [
        "",
        "ValueError: broken",
        "KeyError: 'close'",
        "ValueError: broken",
    ]
    assert [body.closed for body in (*bodies, both)] == [1, 1, 1, 1]


def start_twice(environ: Any, start: Start) -> Iterable[bytes]:
    start("200 OK", PLAIN)
    start("404 Not Found", PLAIN)
    return [b"x"]


def change_headers(environ: Any, start: Start) -> Iterable[bytes]:
    headers = list(PLAIN)
    start("200 OK", headers)
    headers.append(("X-Late", "1"))
    return [b"x"]


def never_start(environ: Any, start: Start) -> Iterable[bytes]:
    return []


def body_first(environ: Any, start: Start) -> Iterator[bytes]:
    yield b"x"
    start("200 OK", PLAIN)


def wrong_length(environ: Any, start: Start) -> Iterable[bytes]:
    start("200 OK", [("content-length", "5")])
    return [b"x"]


def text_body(environ: Any, start: Start) -> Iterable[Any]:
    start("200 OK", PLAIN)
    return ["x"]


def bad_status(environ: Any, start: Start) -> Iterable[bytes]:
    start("200", PLAIN)
    return [b"x"]


def hop_by_hop(environ: Any, start: Start) -> Iterable[bytes]:
    start("200 OK", [("Connection", "close")])
    return [b"x"]


@pytest.mark.parametrize(
    ("app", "hazard"),
    [
        (start_twice, response.STARTED_TWICE),
        (change_headers, response.HEADERS_LATE),
        (never_start, response.NEVER_STARTED),
        (body_first, response.BODY_BEFORE_START),
        (wrong_length, response.LENGTH),
        (text_body, response.NO_BYTES),
        (bad_status, response.BAD_STATUS),
        (hop_by_hop, response.BAD_HEADERS),
    ],
)
def test_a_breach_of_wsgi_is_told_and_not_raised(app: Any, hazard: str) -> None:
    answer = wsgi(app)
    assert (answer.hazards, answer.escaped) == ((hazard,), "")


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit])
def test_whatever_leaves_an_app_is_its_answer(error: type[BaseException]) -> None:
    def app(environ: Any, start: Start) -> Any:
        raise error("no\udc80")

    async def handler(scope: Any, receive: Any, send: Any) -> None:
        raise error("no\udc80")

    async def elsewhere(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.create_task(handler(scope, receive, send))

    expected = Answer(None, escaped=f"{error.__name__}: no\\udc80")
    assert wsgi(app) == expected
    assert asgi(http(handler)) == expected
    assert asgi(http(elsewhere)).escaped.startswith(error.__name__)


def test_a_head_and_an_empty_answer_need_no_body_of_the_length_they_name() -> None:
    assert wsgi(wrong_length, Request("HEAD")).hazards == ()


def test_a_span_that_outlives_the_request_is_told_once() -> None:
    def leaking(environ: Any, start: Start) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/leak":
            context.attach(trace.set_span_in_context(SPAN))
        start("200 OK", PLAIN)
        return [b"x"]

    async def leaking_too(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/leak":
            context.attach(trace.set_span_in_context(SPAN))
        await started(send)
        await ended(send)

    for opened in (
        Opened(leaking, "wsgi", Chain(())),
        Opened(http(leaking_too), "asgi", Chain(())),
    ):
        with drive.driving(opened) as driver:
            left = []
            for path in ("/leak", "/", "/leak"):
                driver.send(Request(path=path))
                left.append(driver.leftover)
            assert left == [f"{2:016x}", "", f"{2:016x}"]
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_an_asgi_app_gets_what_a_server_gives() -> None:
    seen: list[Any] = []

    async def handler(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)
        seen.append(await receive())
        waiting = asyncio.create_task(receive())
        await started(send, 202, [(b"x-answer", b"yes")])
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        assert not waiting.done()
        await ended(send, b"bc")
        seen.append(await waiting)

    answer = asgi(http(handler), Request("GET", "/caf%C3%A9?q=1", (("X-Tenant", "\xe9"),)))
    assert answer == Answer(202, (("x-answer", "yes"),), hashlib.sha256(b"abc").hexdigest(), 3)
    scope, first, last = seen
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == (
        "/café",
        b"/caf%C3%A9",
        b"q=1",
    )
    assert (b"x-tenant", b"\xe9") in scope["headers"]
    assert first == {"type": "http.request", "body": b"", "more_body": False}
    assert last == {"type": "http.disconnect"}


def test_the_lifespan_spans_all_requests_on_one_loop() -> None:
    seen: list[Any] = []

    @asynccontextmanager
    async def resources(state: Any) -> Any:
        state["pool"] = "open"
        seen.append(asyncio.get_running_loop())
        yield
        seen.append("closed")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            async with resources(scope["state"]):
                await send({"type": "lifespan.startup.complete"})
                await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        seen.append((scope["state"], asyncio.get_running_loop()))
        scope["state"]["pool"] = "mine"
        await started(send)
        await ended(send)

    with drive.driving(Opened(app, "asgi", Chain(()))) as driver:
        assert [driver.send(Request()).status for _ in range(2)] == [200, 200]
    loop, first, second, last = seen
    assert [first[1], second[1], last] == [loop, loop, "closed"]
    assert second[0] == {"pool": "mine"} != first
    assert loop.is_closed()


def test_an_app_that_says_it_cannot_start_is_refused_in_its_own_words() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        message = "Traceback (most recent call last):\n  ...\nOSError: no database\n"
        await send({"type": "lifespan.startup.failed", "message": message})

    with pytest.raises(TargetError, match=r"^the app could not start: OSError: no database$"):
        asgi(app)


async def two_starts(scope: Any, receive: Any, send: Any) -> None:
    await started(send)
    await started(send, 500)
    await ended(send)


async def late_header(scope: Any, receive: Any, send: Any) -> None:
    headers = [(b"a", b"b")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    headers.append((b"c", b"d"))
    await ended(send)


async def no_answer(scope: Any, receive: Any, send: Any) -> None:
    return


async def no_end(scope: Any, receive: Any, send: Any) -> None:
    await started(send)


async def body_before(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.body", "body": b"x", "more_body": True})
    await started(send)
    await ended(send)


async def after_end(scope: Any, receive: Any, send: Any) -> None:
    await started(send)
    await ended(send)
    await ended(send, b"more")


async def other_message(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "websocket.accept"})
    await started(send)
    await ended(send)


async def text_headers(scope: Any, receive: Any, send: Any) -> None:
    await started(send, 200, [("a", "b")])
    await ended(send)


async def error_after_start(scope: Any, receive: Any, send: Any) -> None:
    await started(send)
    raise ValueError("too late")


@pytest.mark.parametrize(
    ("handler", "hazard"),
    [
        (two_starts, response.STARTED_TWICE),
        (late_header, response.HEADERS_LATE),
        (no_answer, response.NEVER_STARTED),
        (no_end, response.NEVER_ENDED),
        (body_before, response.BODY_BEFORE_START),
        (after_end, response.AFTER_END),
        (other_message, response.UNKNOWN_MESSAGE),
        (text_headers, response.BAD_HEADERS),
        (error_after_start, response.AFTER_START),
    ],
)
def test_a_breach_of_asgi_is_told_and_not_raised(handler: Any, hazard: str) -> None:
    answer = asgi(http(handler))
    assert answer.hazards == (hazard,)
    assert answer.status == (None if hazard == response.NEVER_STARTED else 200)


def test_what_a_request_leaves_behind_may_end() -> None:
    done: list[str] = []

    async def handler(scope: Any, receive: Any, send: Any) -> None:
        async def later() -> None:
            await asyncio.sleep(0.01)
            done.append("task")

        done.append("request")
        scope["state"]["task"] = asyncio.create_task(later())
        await started(send)
        await ended(send)

    asgi(http(handler))
    assert done == ["request", "task"]


def test_the_environ_of_a_get_has_no_length() -> None:
    assert "CONTENT_LENGTH" not in environ_of(Request())
