"""Three services and Envoy between them, each a process of its own on the loopback."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

import pytest

HERE = Path(__file__).parent
CONFIGURATION = HERE.parents[1] / "deploy" / "envoy" / "envoy.yaml"
STARTUP = 60.0
# Service, its server, and whom it asks.
SERVICES = (
    ("stock", ("gunicorn", "--threads", "2", "--bind", "127.0.0.1:{port}"), None),
    ("orders", ("gunicorn", "--threads", "2", "--bind", "127.0.0.1:{port}"), "stock"),
    # Else uvicorn takes the peer's address from `x-forwarded-for`, where a proxy is on its machine.
    ("shop", ("uvicorn", "--no-access-log", "--no-proxy-headers", "--port", "{port}"), "between"),
)


class Mesh(NamedTuple):
    """What runs.

    Attributes:
        edge: port at which strangers reach it.
        folder: where spans and logs are.
    """

    edge: int
    folder: Path

    def get(
        self, path: str, headers: dict[str, str], port: int = 0
    ) -> tuple[int, dict[str, str], Any]:
        """Ask, and return the status, the headers and the body read as JSON if it is that."""
        connection = http.client.HTTPConnection("127.0.0.1", port or self.edge, timeout=60)
        with contextlib.closing(connection):
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            body = answer.read()
        with contextlib.suppress(ValueError):
            body = json.loads(body)
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, body

    def spans(self, service: str) -> list[dict[str, Any]]:
        """Return what a service has written, in the order in which the spans ended."""
        file = self.folder / f"{service}.jsonl"
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        return [json.loads(line) for line in lines]


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Mesh]:
    """Start everything, and stop it whatever happens."""
    names = ("admin", "edge", "between", "shop", "orders", "stock")
    ports = dict(zip(names, _free_ports(len(names)), strict=True))
    with contextlib.ExitStack() as stack:
        for name, server, following in SERVICES:
            command = [part.format(port=ports[name]) for part in server]
            environ = {
                "EVERYLAYER_ERROR_CONTEXT": "send",
                "EVERYLAYER_TRUSTED_PEERS": "127.0.0.0/8",
                "EVERYLAYER_BAGGAGE_KEYS": "plan",
                "OTEL_PROPAGATORS": "everylayer",
                "OTEL_SERVICE_NAME": name,
                "NEXT": f"http://127.0.0.1:{ports[following]}" if following else "",
                "SPANS": str(folder / f"{name}.jsonl"),
            }
            args = [sys.executable, "-m", *command, f"envoy_{name}:app"]
            stack.enter_context(_running(name, args, environ, folder, ports[name]))
        configuration = folder / "envoy.yaml"
        text = Template(CONFIGURATION.read_text(encoding="utf-8"))
        configuration.write_text(text.substitute({f"{k}_port": v for k, v in ports.items()}))
        args = [str(binary()), "-c", str(configuration), "--use-dynamic-base-id", "-l", "warning"]
        stack.enter_context(_running("envoy", args, {}, folder, ports["between"]))
        yield Mesh(ports["edge"], folder)


def binary() -> str | None:
    """Return the path of Envoy's, None where it is not there."""
    beside = Path(sys.executable).parent / "envoy"
    return str(beside) if beside.exists() else shutil.which("envoy")


@contextlib.contextmanager
def _running(
    name: str, args: list[str], environ: dict[str, str], folder: Path, port: int
) -> Iterator[None]:
    log = folder / f"{name}.log"
    path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    with log.open("wb") as out:
        process = subprocess.Popen(
            args,
            env={**os.environ, **environ, "PYTHONPATH": path},
            cwd=folder,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait(process, name, port, log)
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: subprocess.Popen[bytes], name: str, port: int, log: Path) -> None:
    deadline = time.monotonic() + STARTUP
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if process.poll() is not None:
            break
        time.sleep(0.05)
    pytest.fail(f"{name} does not serve:\n{log.read_text(errors='replace')[-3000:]}")


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in found:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in found]
