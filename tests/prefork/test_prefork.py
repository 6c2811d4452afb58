"""Celery's own worker with forked processes: `python -m nox -s celery`."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.trace import SpanKind

pytest.importorskip("tblib")
pytest.importorskip("celery")

import everylayer
from contract.telemetry import Telemetry, session

HERE = Path(__file__).parent
STARTUP = 60.0
OPTIONS = ("--pool=prefork", "--concurrency=2", "--without-gossip", "--without-mingle", "-lINFO")
SETTINGS = {"EVERYLAYER_BAGGAGE_KEYS": "app.*"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Return the app, a worker with two processes at work for it."""
    home = tmp_path_factory.mktemp("prefork")
    os.environ.update(SETTINGS, PREFORK_HOME=str(home))
    sys.path.insert(0, str(HERE))
    import prefork_app

    paths = os.pathsep.join([str(HERE), *sys.path])
    with (home / "log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "prefork_app", "worker", *OPTIONS],
            env={**os.environ, "PYTHONPATH": paths, "PREFORK_WORKER": "1"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        wait(lambda: b"ready." in (home / "log").read_bytes(), STARTUP)
        yield prefork_app
    finally:
        worker.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.wait(10)
        worker.kill()
        worker.wait()
        print((home / "log").read_text()[-20_000:])
        everylayer.celery.uninstrument()  # type: ignore[attr-defined, unused-ignore]
        for name in (*SETTINGS, "PREFORK_HOME"):
            del os.environ[name]


def wait(done: Callable[[], Any], seconds: float = 20.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := done()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    with session() as found:
        yield found


@contextlib.contextmanager
def request(telemetry: Telemetry) -> Iterator[str]:
    tracer = telemetry.provider.get_tracer("web")
    with (
        everylayer.use_tenant("acme"),
        tracer.start_as_current_span("POST /orders", kind=SpanKind.SERVER) as span,
    ):
        yield trace.format_trace_id(span.get_span_context().trace_id)


def spans(shop: Any, trace_id: str) -> list[dict[str, Any]]:
    lines = [
        json.loads(line)
        for file in shop.FOLDERS["spans"].iterdir()
        for line in file.read_text().splitlines()
    ]
    return [span for span in lines if span["context"]["trace_id"] == f"0x{trace_id}"]


def test_a_forked_worker_works_for_the_request_and_then_for_nobody(
    shop: Any, telemetry: Telemetry
) -> None:
    token = context.attach(baggage.set_baggage("app.plan", "gold"))
    context.attach(baggage.set_baggage("card", "4111"))
    try:
        with request(telemetry) as trace_id:
            found = shop.look.delay().get(timeout=20)
    finally:
        context.detach(token)
    assert found["pid"] != os.getpid()
    assert (found["tenant"], found["baggage"]) == ("acme", {"app.plan": "gold"})
    assert found["trace"] == trace_id
    for _ in range(4):
        again = shop.look.delay().get(timeout=20)
        assert (again["tenant"], again["baggage"], again["trace"]) == (None, {}, "0" * 32)


def test_its_error_is_in_the_requests_trace_and_comes_back_whole(
    shop: Any, telemetry: Telemetry
) -> None:
    with request(telemetry) as trace_id:
        result = shop.reserve.delay("tea")
        with pytest.raises(Exception, match="tea: 0 left") as caught:
            result.get(timeout=20)
    assert isinstance(caught.value.__cause__, KeyError)
    (span,) = wait(lambda: spans(shop, trace_id))
    (event,) = span["events"]
    assert span["name"] == "reserve (late)"
    assert event["attributes"]["exception.type"] == "prefork_app.OutOfStock"
    assert event["attributes"]["app.tenant.id"] == "acme"
    found = everylayer.trace_of(caught.value)
    assert found is not None
    assert found.trace_id == trace_id


def test_a_worker_that_is_killed_is_in_the_requests_trace(shop: Any, telemetry: Telemetry) -> None:
    with request(telemetry) as trace_id:
        result = shop.die.delay()
    with pytest.raises(Exception, match="signal 9"):
        result.get(timeout=20)
    (span,) = wait(lambda: spans(shop, trace_id))
    (event,) = span["events"]
    assert span["name"] == "die (late)"
    assert event["attributes"]["exception.type"] == "billiard.exceptions.WorkerLostError"
    assert event["attributes"]["app.tenant.id"] == "acme"
    # The pool has made another one.
    assert shop.look.delay().get(timeout=20)["tenant"] is None


def test_what_fails_around_the_task_is_in_the_requests_trace(
    shop: Any, telemetry: Telemetry
) -> None:
    with request(telemetry) as trace_id:
        result = shop.unkept.delay()
    # Celery says so twice: as its own failure, and then as the task's.
    with pytest.raises(OSError, match="no space left"):
        result.get(timeout=20)
    (span,) = wait(lambda: spans(shop, trace_id))
    (event,) = span["events"]
    assert span["name"] == "unkept (late)"
    assert event["attributes"]["exception.type"] == "OSError"
    assert event["attributes"]["app.tenant.id"] == "acme"
