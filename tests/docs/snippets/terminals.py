"""The shells in which a page's commands run.

What stands under `title="Terminal 1"` goes on running, as a server does, until the page uses that
terminal again or ends; all else is typed into another one and waited for.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

from snippets import shown

PORT = re.compile(r"(?:127\.0\.0\.1|localhost|\[::\]):(\d{4,5})\b")
PATIENCE = 60.0  # seconds


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Terminals:
    """Runs commands in `folder`, with each port that `text` names replaced by a free one."""

    __slots__ = ("_env", "_folder", "_log", "_ports", "_running", "_where")

    def __init__(self, folder: Path, text: str, env: dict[str, str]) -> None:
        self._folder = folder
        self._where = folder / "page"
        self._where.mkdir()
        # A person's terminal is no pipe: there curl shows no progress beside such short answers.
        (folder / ".curlrc").write_text("silent\nshow-error\n", encoding="utf-8")
        self._env = env | {"CURL_HOME": str(folder), "HOME": str(folder)}
        self._ports = {port: str(free_port()) for port in sorted(set(PORT.findall(text)))}
        self._log = folder / "terminal"
        self._running: subprocess.Popen[bytes] | None = None

    def write(self, name: str, text: str) -> None:
        """Write a file of the page; ` (at the end)` after its name adds to the one there is."""
        path, _, added = name.partition(" (at the end")
        place = self._where / path
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("a" if added else "w", encoding="utf-8") as file:
            file.write(self._here(text))

    def has(self, module: str) -> bool:
        """Whether the page's folder holds this module."""
        place = self._where / module.replace(".", "/")
        return place.is_dir() or place.with_suffix(".py").is_file()

    def _here(self, text: str) -> str:
        for port, ours in self._ports.items():
            text = re.sub(rf"\b{port}\b", ours, text)
        return text

    def _there(self, text: str) -> str:
        for port, ours in self._ports.items():
            text = re.sub(rf"\b{ours}\b", port, text)
        return text.replace(str(self._where), "/srv/shop")

    def run(self, command: str) -> str:
        """Run a command to its end and return what it has printed."""
        after = self._folder / "after"
        script = f"{self._here(command)}\ncode=$?\n(pwd; env -0) > {after}\nexit $code\n"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self._where,
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        printed = self._there(done.stdout)
        assert done.returncode == 0, f"$ {command}\n{printed}\n{self.printed()}"
        folder, _, env = after.read_text(encoding="utf-8").partition("\n")
        self._where = Path(folder)
        self._env = dict(entry.split("=", 1) for entry in env.split("\0") if entry)
        return printed

    def serve(self, command: str) -> None:
        """Start a command that goes on, in the place of the one before, and wait for its port."""
        self.stop()
        with self._log.open("wb") as log:
            self._running = subprocess.Popen(
                ["bash", "-c", f"exec env {self._here(command)}"],
                cwd=self._where,
                env=self._env | {"PYTHONUNBUFFERED": "1"},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if self._ports:
            self._wait(self._listens, f"nothing listens: $ {command}")

    def _listens(self) -> bool:
        for port in self._ports.values():
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", int(port))) == 0:
                    return True
        return False

    def _wait(self, happened: object, failure: str) -> None:
        assert callable(happened)
        until = time.monotonic() + PATIENCE
        while not happened():
            gone = self._running is None or self._running.poll() is not None
            assert not gone, f"{failure}, and the terminal's command has ended\n{self.printed()}"
            assert time.monotonic() < until, f"{failure}\n{self.printed()}"
            time.sleep(0.05)

    def expect(self, text: str) -> None:
        """Wait until what is shown stands in the first terminal."""
        self._wait(lambda: shown.contains(text, self.printed()), f"never printed:\n{text}")

    def printed(self) -> str:
        """Return what the first terminal shows."""
        if not self._log.exists():
            return ""
        return self._there(self._log.read_text(encoding="utf-8", errors="replace"))

    def stop(self) -> None:
        """Press Ctrl-C in the first terminal, and wait."""
        if self._running is None:
            return
        group = self._running.pid
        for number in (signal.SIGINT, signal.SIGKILL):
            try:
                os.killpg(group, number)
                self._running.wait(timeout=10)
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                continue
        self._running = None
