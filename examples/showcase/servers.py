"""The shops under real servers: started on loopback, stopped whatever happens."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent.parent
STARTUP = 60.0
_PORT = re.compile(r"^port (\d+)$", re.MULTILINE)
SHUTDOWN = 10.0


@dataclass(frozen=True)
class Spec:
    """How to start one shop.

    Attributes:
        shop: `django`, `flask`, `starlette`, `grpc` or `grpc-aio`.
        everylayer: with everylayer, or OpenTelemetry alone.
        command: arguments of Python; `{fd}` is the listening socket. Where it is not there, the
            server chooses a port and writes it.
        environ: added to the environment.
        stop: signal after which the server ends in good order, its spans exported.
    """

    shop: str
    everylayer: bool
    command: Sequence[str]
    environ: Mapping[str, str]
    stop: signal.Signals

    @property
    def is_grpc(self) -> bool:
        """Whether it is asked by RPC."""
        return self.shop.startswith("grpc")

    @property
    def name(self) -> str:
        """For messages and the log file."""
        return f"{self.shop}-{'everylayer' if self.everylayer else 'stock'}"


def spec(shop: str, *, everylayer: bool) -> Spec:
    """Return how to start `shop`."""
    gunicorn = ("-m", "gunicorn", "-c", str(EXAMPLES / "gunicorn.conf.py"), "--bind", "fd://{fd}")
    uvicorn = ("-m", "uvicorn", "--fd", "{fd}", "--no-access-log")
    if shop == "django":
        settings = "django_shop.settings" if everylayer else "django_shop.settings_stock"
        environ = {"DJANGO_SETTINGS_MODULE": settings}
        return Spec(shop, everylayer, (*gunicorn, "django_shop.wsgi"), environ, signal.SIGTERM)
    if shop == "flask":
        target = "flask_shop.wsgi:app" if everylayer else "flask_shop.app:create_app()"
        return Spec(shop, everylayer, (*gunicorn, target), {}, signal.SIGTERM)
    if shop.startswith("grpc"):
        options = [
            *(["--aio"] if shop == "grpc-aio" else []),
            *([] if everylayer else ["--stock"]),
        ]
        serve = ("-m", "grpc_shop.serve", *options, "127.0.0.1:0")
        return Spec(shop, everylayer, serve, {}, signal.SIGTERM)
    starlette = (
        ("starlette_shop.asgi:app",)
        if everylayer
        else ("--factory", "starlette_shop.app:create_app")
    )
    # Uvicorn ends by SIGTERM as if killed by it, and the last spans would not be exported.
    return Spec(shop, everylayer, (*uvicorn, *starlette), {}, signal.SIGINT)


class Server:
    """A running shop."""

    def __init__(self, how: Spec, port: int, process: subprocess.Popen[bytes], log: Path) -> None:
        self.spec = how
        self.port = port
        self.process = process
        self.log = log

    def wait(self) -> None:
        """Return when the shop answers.

        Raises:
            RuntimeError: it ended, or did not answer in time; with the end of its log.
        """
        deadline = time.monotonic() + STARTUP
        while time.monotonic() < deadline and self.process.poll() is None:
            if self.spec.is_grpc:
                said = _PORT.search(self.log.read_text(errors="replace"))
                if said is not None:
                    self.port = int(said.group(1))
                    return
                time.sleep(0.05)
                continue
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            try:
                connection.request("GET", "/health")
                if connection.getresponse().status == 200:
                    return
            except (OSError, http.client.HTTPException):
                pass
            finally:
                connection.close()
            time.sleep(0.05)
        log = self.log.read_text(errors="replace")[-3000:]
        raise RuntimeError(f"{self.spec.name} did not start:\n{log}")

    def stop(self) -> None:
        """End the server in good order, or else kill all of its processes."""
        if self.process.poll() is None:
            self.process.send_signal(self.spec.stop)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(SHUTDOWN)
        self.kill()

    def kill(self) -> None:
        """Kill what is left of the server's process group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def start(how: Spec, environ: Mapping[str, str], logs: Path) -> Server:
    """Start a shop on a free port of the loopback interface.

    The socket is made here and inherited, so no other process can take the port in between.
    """
    log = logs / f"{how.name}.log"
    with socket.socket() as listener, log.open("wb") as out:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        command = [part.format(fd=listener.fileno()) for part in how.command]
        process = subprocess.Popen(
            [sys.executable, *command],
            env={**environ, **how.environ},
            cwd=EXAMPLES,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            pass_fds=[listener.fileno()],
            # A group of its own: Ctrl-C reaches the demo alone, which then stops all of them.
            start_new_session=True,
        )
        return Server(how, listener.getsockname()[1], process, log)


@contextlib.contextmanager
def running(
    specs: Sequence[Spec], environ: Mapping[str, str], logs: Path
) -> Iterator[list[Server]]:
    """Start all of `specs` at once; on the way out, none of their processes is left."""
    servers: list[Server] = []
    try:
        for how in specs:
            with deferred_signals():
                servers.append(start(how, environ, logs))
        for server in servers:
            server.wait()
        yield servers
    finally:
        with deferred_signals():
            for server in servers:
                server.stop()


@contextlib.contextmanager
def deferred_signals() -> Iterator[None]:
    """Let Ctrl-C and a polite kill wait until the block is done: no process is lost in between."""
    caught: list[int] = []
    previous = {
        number: signal.signal(number, lambda got, _: caught.append(got))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        if caught:
            signal.raise_signal(caught[0])
