"""Real servers on a port of the system's choice, asked by many clients at once."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
# For a machine that is stuck; everything here waits for what is to happen.
PATIENCE = 120.0


class Answer(NamedTuple):
    """What came back; no status where the server hung up."""

    number: int
    kind: str
    status: int | None
    by: str


class Server:
    """A running server.

    Attributes:
        spans_folder: where its processes write their spans.
    """

    def __init__(self, process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
        self.process = process
        self.port = port
        self.spans_folder = folder

    def get(self, kind: str, number: int) -> Answer:
        """Make one request; its trace has its number."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        header = {"traceparent": f"00-{number:032x}-{number:016x}-01", "connection": "close"}
        try:
            connection.request("GET", f"/{kind}/{number}", headers=header)
            response = connection.getresponse()
            by = response.getheader("x-served-by", "")
            with contextlib.suppress(http.client.IncompleteRead):
                response.read()
            return Answer(number, kind, response.status, by)
        except (ConnectionError, http.client.HTTPException):
            return Answer(number, kind, None, "")
        finally:
            connection.close()

    def get_all(self, wanted: Sequence[tuple[str, int]], clients: int) -> list[Answer]:
        """Make all requests from `clients` threads at once."""
        left, answers, lock = list(wanted), [], threading.Lock()

        def work() -> None:
            while True:
                with lock:
                    if not left:
                        return
                    kind, number = left.pop()
                answers.append(self.get(kind, number))

        threads = [threading.Thread(target=work, daemon=True) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return answers

    def spans(self) -> list[dict[str, Any]]:
        """Return what has been exported so far, by all processes; whole lines only."""
        found = []
        for file in sorted(self.spans_folder.glob("*.jsonl")):
            for line in file.read_text().splitlines(keepends=True):
                if line.endswith("\n"):
                    found.append(json.loads(line))
        return found

    def wait_for(self, done: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        """Return the spans once `done(spans)` holds, or at the end of all patience."""
        deadline = time.monotonic() + PATIENCE
        while not done(found := self.spans()) and time.monotonic() < deadline:
            time.sleep(0.02)
        return found

    def stop(self, number: signal.Signals = signal.SIGTERM) -> list[dict[str, Any]]:
        """Let the server end in good order, and return all that it ever exported."""
        self.process.send_signal(number)
        self.process.wait(PATIENCE)
        return self.spans()


@contextlib.contextmanager
def running(
    command: Sequence[str], folder: Path, environ: Mapping[str, str], cwd: Path = HERE
) -> Iterator[Server]:
    """Run `python -m command`, in which `{fd}` is a listening socket, until the block is done."""
    spans = folder / "spans"
    spans.mkdir()
    log = folder / "server.log"
    with socket.socket() as listener, log.open("wb") as out:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        process = subprocess.Popen(
            [sys.executable, "-m", *(part.format(fd=listener.fileno()) for part in command)],
            env={**os.environ, "SERVED_SPANS": str(spans), **environ},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            pass_fds=[listener.fileno()],
            start_new_session=True,
        )
        server = Server(process, listener.getsockname()[1], spans)
    try:
        yield server
    except BaseException:
        sys.stderr.write(log.read_text(errors="replace")[-4000:])
        raise
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until_up(server: Server) -> None:
    """Return when the app answers."""
    deadline = time.monotonic() + PATIENCE
    while server.get("ok", 1).status != 200:
        assert server.process.poll() is None, "the server ended"
        assert time.monotonic() < deadline, "the server does not answer"
        time.sleep(0.05)


def messages(spans: Sequence[Mapping[str, Any]]) -> Counter[tuple[int, str]]:
    """Count (trace, message) of every error event."""
    return Counter((span["trace"], text) for span in spans for text in span["errors"])
