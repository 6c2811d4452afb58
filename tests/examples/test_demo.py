"""The demo as a process: its verdict on real servers, and that it leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from contract.versions import STREAMS_FAIL_IN_GROUPS

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
MARK = "SHOP_TEST_MARK"


def start(examples: Path, mark: str, *shops: str) -> subprocess.Popen[str]:
    """Start the demo, its processes to be known by `mark`."""
    return subprocess.Popen(
        [sys.executable, str(examples / "demo.py"), *shops],
        env={**os.environ, MARK: mark},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # As a shell does: Ctrl-C reaches this group.
        start_new_session=True,
        # A shell that started the suite in the background may ignore SIGINT, and so would it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def alive(mark: str) -> list[str]:
    """Return the command lines of the processes that carry `mark`."""
    found: list[str] = []
    for process in Path("/proc").iterdir():
        try:
            if mark.encode() in (process / "environ").read_bytes():
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                found.append(command)
        except OSError:
            continue
    return found


def servers(mark: str) -> list[str]:
    """Return the servers among them."""
    return [line for line in alive(mark) if re.search("gunicorn|uvicorn|grpc_shop", line)]


def wait(condition: Callable[[], bool], seconds: float = 30.0) -> bool:
    """Return whether `condition()` became true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("shop", ["django", "flask", "starlette", "grpc", "grpc-aio"])
def test_one_shop(examples: Path, shop: str) -> None:
    if shop == "starlette" and STREAMS_FAIL_IN_GROUPS:
        pytest.skip("the demo's table is that of a newer Starlette")
    mark = uuid.uuid4().hex
    process = start(examples, mark, shop)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert "with everylayer 0 of " in output
    assert "0 responses differ" in output
    assert "InventoryUnavailable" in output
    assert not alive(mark)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_leaves_no_process(examples: Path, number: signal.Signals) -> None:
    mark = uuid.uuid4().hex
    process = start(examples, mark, "django", "grpc-aio")
    try:
        assert wait(lambda: len(servers(mark)) >= 4), alive(mark)
        process.send_signal(number)
        process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 128 + number
    assert wait(lambda: not alive(mark)), alive(mark)


def test_an_unknown_shop_is_named(examples: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(examples / "demo.py"), "rails"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert (
        "there is no shop 'rails'; choose from django, flask, starlette, grpc, grpc-aio"
        in done.stderr
    )
