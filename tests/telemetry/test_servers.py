"""Real servers: forked workers, threads, greenlets and uvloop; each error once, on its own span."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from kit_faults import message
from kit_server import PATIENCE, Server, messages, running, wait_until_up

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="these servers need fork")

CONFIG = "python:gunicorn_conf"
GUNICORN = ("gunicorn", "-c", CONFIG, "--bind", "fd://{fd}")
UVICORN = ("uvicorn", "--fd", "{fd}", "--no-access-log", "--log-level", "warning")
ERRORS = ("view", "layer", "answered", "swallowed", "late")


def mixed(first: int, count: int) -> list[tuple[str, int]]:
    """Return requests, every second one with an error."""
    return [
        (ERRORS[number // 2 % len(ERRORS)] if number % 2 else "ok", number)
        for number in range(first, first + count)
    ]


def expected(requests: Sequence[tuple[str, int]]) -> Counter[tuple[int, str]]:
    """Return the events that these requests are to leave, by trace."""
    return Counter((n, message(kind, str(n))) for kind, n in requests if kind != "ok")


def check(server: Server, requests: Sequence[tuple[str, int]]) -> list[dict[str, Any]]:
    """Wait until every error has arrived; fail on one that is lost, doubled or another's."""
    wanted = expected(requests)
    traces = {number for _, number in requests}

    def complete(spans: list[dict[str, Any]]) -> bool:
        roots = {span["trace"] for span in spans if span["kind"] == "SERVER"}
        return traces <= roots and sum(messages(spans).values()) >= sum(wanted.values())

    server.wait_for(complete)
    spans = server.stop(signal.SIGINT if "uvicorn" in str(server.process.args) else signal.SIGTERM)
    found = messages([span for span in spans if span["trace"] in traces])
    assert found == wanted, f"lost {wanted - found}, too many {found - wanted}"
    assert not [span for span in spans if span["failures"]]
    assert len({span["span"] for span in spans}) == len(spans)
    servers = Counter(span["trace"] for span in spans if span["kind"] == "SERVER")
    assert all(servers[number] == 1 for number in traces)
    return spans


@pytest.mark.parametrize(
    ("framework", "stock"), [("flask", "1"), ("django-wsgi", "")], ids=["flask-stock", "django"]
)
def test_forked_workers_of_a_preloaded_app(framework: str, stock: str, tmp_path: Path) -> None:
    command = (*GUNICORN, "--preload", "--workers", "2", "served_app:app")
    environ = {"SERVED_FRAMEWORK": framework, "SERVED_STOCK": stock}
    with running(command, tmp_path, environ) as server:
        wait_until_up(server)
        requests: list[tuple[str, int]] = []
        pids: set[str] = set()
        deadline = time.monotonic() + PATIENCE
        # Until both workers have failed: which one does is for the kernel to say.
        while len(pids) < 2 and time.monotonic() < deadline:
            more = mixed(100 + len(requests), 40)
            requests += more
            answers = server.get_all(more, 4)
            pids |= {a.by.split()[0] for a in answers if a.by and a.kind != "ok"}
        spans = check(server, requests)
        failing = {span["pid"] for span in spans if span["errors"]}
        assert {str(pid) for pid in failing} == pids
        assert len(pids) == 2
        assert server.process.pid not in failing


def test_24_threads_of_one_server(tmp_path: Path) -> None:
    command = (*GUNICORN, "-k", "gthread", "--threads", "24", "served_app:app")
    with running(command, tmp_path, {"SERVED_FRAMEWORK": "flask"}) as server:
        wait_until_up(server)
        requests = mixed(100, 480)
        answers = server.get_all(requests, 24)
        assert len({answer.by for answer in answers if answer.by}) > 1
        check(server, requests)


@pytest.mark.skipif(not find_spec("gevent"), reason="gevent is not installed for this Python")
@pytest.mark.parametrize(
    # Preloaded, everylayer is imported before gevent replaces the locks.
    ("framework", "preload"),
    [("flask", ("--preload",)), ("django-wsgi", ())],
    ids=["flask-preloaded", "django"],
)
def test_greenlets(framework: str, preload: tuple[str, ...], tmp_path: Path) -> None:
    command = (*GUNICORN, "-k", "gevent", *preload, "served_app:app")
    with running(command, tmp_path, {"SERVED_FRAMEWORK": framework}) as server:
        wait_until_up(server)
        requests = mixed(100, 200)
        answers = server.get_all(requests, 16)
        assert len({answer.by for answer in answers if answer.by}) > 1
        check(server, requests)


@pytest.mark.parametrize(
    ("framework", "loop"),
    [("starlette", "asyncio"), ("starlette", "uvloop"), ("django-asgi", "uvloop")],
)
def test_event_loops(framework: str, loop: str, tmp_path: Path) -> None:
    if loop == "uvloop" and not find_spec("uvloop"):
        pytest.skip("uvloop is not installed for this Python")
    command = (*UVICORN, "--loop", loop, "served_app:app")
    with running(command, tmp_path, {"SERVED_FRAMEWORK": framework}) as server:
        wait_until_up(server)
        requests = mixed(100, 200)
        answers = server.get_all(requests, 16)
        assert {answer.by.split()[1] for answer in answers if answer.by} == {loop}
        check(server, requests)
