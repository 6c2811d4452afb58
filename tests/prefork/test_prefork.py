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

    try:
        with at_work(home / "log"):
            yield prefork_app
    finally:
        everylayer.celery.uninstrument()  # type: ignore[attr-defined, unused-ignore]
        for name in (*SETTINGS, "PREFORK_HOME"):
            del os.environ[name]


@contextlib.contextmanager
def at_work(log_file: Path, *options: str, **more: str) -> Iterator[None]:
    """Have a worker at work: `more` is for its environment."""
    paths = os.pathsep.join([str(HERE), *sys.path])
    command = [sys.executable, "-m", "celery", "-A", "prefork_app", "worker", *OPTIONS, *options]
    with log_file.open("wb") as log:
        worker = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": paths, "PREFORK_WORKER": "1", **more},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        wait(lambda: b"ready." in log_file.read_bytes(), STARTUP)
        yield
    finally:
        worker.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.wait(10)
        worker.kill()
        worker.wait()
        print(log_file.read_text()[-20_000:])


@pytest.fixture(scope="module")
def stocked(shop: Any) -> Iterator[Any]:
    """Return the same app, with a second worker for the queue `stocked` that has stock too."""
    pytest.importorskip("opentelemetry.instrumentation.celery")
    with at_work(shop.HOME / "stocked", "-Q", "stocked", "-n", "stocked@%h", PREFORK_STOCK="1"):
        yield shop


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


def test_beside_stock_the_one_event_is_ours_and_redacted(
    stocked: Any, telemetry: Telemetry
) -> None:
    with request(telemetry) as trace_id:
        result = stocked.leaks.apply_async(("hunter2-s3cret",), queue="stocked")
    with pytest.raises(Exception, match="hunter2"):
        result.get(timeout=20)
    (span,) = wait(lambda: spans(stocked, trace_id))
    (event,) = span["events"]
    assert span["name"] == "run/leaks"
    assert event["attributes"]["exception.type"] == "prefork_app.OutOfStock"
    assert event["attributes"]["everylayer.layer.name"] == "leaks"
    assert "exception.escaped" not in event["attributes"]
    assert "hunter2" not in json.dumps(span)


def test_time_limits_are_in_the_requests_trace_and_what_is_rejected_is_no_error(
    stocked: Any, telemetry: Telemetry
) -> None:
    with request(telemetry) as soft:
        result = stocked.hangs.apply_async(queue="stocked", soft_time_limit=1)
    with pytest.raises(Exception, match="SoftTimeLimitExceeded"):
        result.get(timeout=20)
    with request(telemetry) as rejected:
        stocked.rejects.apply_async(queue="stocked")
    with request(telemetry) as hard:
        result = stocked.hangs.apply_async(queue="stocked", time_limit=1)
    with pytest.raises(Exception, match="TimeLimitExceeded"):
        result.get(timeout=20)
    (span,) = wait(lambda: spans(stocked, soft))
    (event,) = span["events"]
    assert (span["name"], span["status"]["status_code"]) == ("run/hangs", "ERROR")
    assert event["attributes"]["exception.type"] == "billiard.exceptions.SoftTimeLimitExceeded"
    # The process is gone, with its span or without: the one that looked after it tells.
    wait(lambda: [span for span in spans(stocked, hard) if span["events"]])
    # Celery may say it twice.
    time.sleep(0.5)
    (span,) = [span for span in spans(stocked, hard) if span["events"]]
    (event,) = span["events"]
    assert (span["name"], span["status"]["status_code"]) == ("hangs (late)", "ERROR")
    assert event["attributes"]["exception.type"] == "billiard.exceptions.TimeLimitExceeded"
    (span,) = spans(stocked, rejected)
    assert (span["name"], span["events"]) == ("run/rejects", [])


def test_beside_stock_a_worker_that_is_killed_is_in_the_requests_trace(
    stocked: Any, telemetry: Telemetry
) -> None:
    with request(telemetry) as trace_id:
        result = stocked.die.apply_async(queue="stocked")
    with pytest.raises(Exception, match="signal 9"):
        result.get(timeout=20)
    (span,) = wait(lambda: spans(stocked, trace_id))
    (event,) = span["events"]
    assert span["name"] == "die (late)"
    assert event["attributes"]["exception.type"] == "billiard.exceptions.WorkerLostError"
