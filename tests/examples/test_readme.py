"""What the examples' README tells a reader to type works as written."""

from __future__ import annotations

import http.client
import re
import shlex
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[2] / "examples" / "README.md"
BLOCKS: list[tuple[str, str]] = re.findall(
    r"^```(\w+)\n(.*?)^```$", README.read_text(), re.DOTALL | re.MULTILINE
)
SHELL = [body.strip() for kind, body in BLOCKS if kind == "sh"]
SERVERS = [line for line in SHELL if line.startswith(("gunicorn", "uvicorn"))]


def code(kind: str) -> str:
    """Return the one block of this kind."""
    (found,) = [body for name, body in BLOCKS if name == kind]
    return found


def test_the_snippet_prints_what_is_promised(examples: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:everylayer", "-c", code("python")],
        cwd=examples,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == code("text"), done.stderr


def test_every_shell_block_is_known() -> None:
    assert len(SERVERS) == 3
    others = [line for line in SHELL if line not in SERVERS]
    assert [line.split()[0] for line in others] == ["python", "curl", "everylayer"]
    assert others[0] == "python -m nox -s demo"


@pytest.mark.parametrize("line", SERVERS, ids=lambda line: line.rpartition(" ")[2])
def test_a_shop_starts_by_hand(examples: Path, line: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = shlex.split(line.replace("8000", str(port)))
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=examples,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        (curl,) = [text for text in SHELL if text.startswith("curl")]
        headers = dict(h.split(": ") for h in re.findall(r"-H '(.*?)'", curl))
        path = curl.rpartition(":8000")[2]
        assert fetch(port, path, headers) in (500, 503)
        del headers["x-fail"]
        assert fetch(port, path, headers) == 200
    finally:
        process.terminate()
        process.wait(timeout=30)


def fetch(port: int, path: str, headers: dict[str, str]) -> int:
    """Return the status of a request, once the server takes it."""
    deadline = time.monotonic() + 30
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", path, headers=headers)
            return connection.getresponse().status
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        finally:
            connection.close()
