"""Spotlight, Sentry's own receiver for developers, as a second opinion on what is sent.

It listens on every address and tells its makers how it is used, so it runs in a network namespace
that holds nothing but a loopback, and so does the app that sends to it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

# A newer hono answers every request of this Spotlight with 500.
PACKAGES = ("@spotlightjs/spotlight@4.11.8", "hono@4.12.25")
_PORT = 8969
_ALONE = ("unshare", "--map-root-user", "--net")
_LOOPBACK = 'ip link set lo up && exec "$@"'


def missing() -> str:
    """Return what this machine lacks for it, nothing if it has all."""
    for command in ("node", "npm", "unshare", "ip"):
        if shutil.which(command) is None:
            return f"{command} is not there"
    alone = subprocess.run([*_ALONE, "true"], capture_output=True, timeout=30)
    return "" if alone.returncode == 0 else "this user may not make a network namespace"


def start_install(folder: Path) -> subprocess.Popen[bytes]:
    """Begin to install it below `folder`."""
    command = ["npm", "install", "--prefix", str(folder), "--no-audit", "--no-fund"]
    with (folder / "npm.log").open("wb") as log:
        return subprocess.Popen(
            [*command, "--ignore-scripts", *PACKAGES], stdout=log, stderr=log, cwd=folder
        )


def receive(folder: Path, arms: list[str], env: dict[str, str]) -> dict[str, Any]:
    """Return the requests driven, and the events that it has received of them."""
    inner = [sys.executable, "-W", "ignore", __file__, str(folder), *arms]
    done = subprocess.run(
        [*_ALONE, "sh", "-c", _LOOPBACK, "sh", *inner],
        capture_output=True,
        text=True,
        timeout=120,
        env=env,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _events(wanted: int) -> list[dict[str, Any]]:
    """Read the history that each new listener is given, up to `wanted` events."""
    found: list[dict[str, Any]] = []
    with urllib.request.urlopen(f"http://127.0.0.1:{_PORT}/stream", timeout=5) as stream:
        try:
            while len(found) < wanted:
                line = stream.readline()
                if line.startswith(b"data:") and len(line) > len(b"data:\n"):
                    _, items = json.loads(line[5:])
                    found += [body for head, body in items if head.get("type") == "event"]
        except TimeoutError:
            pass  # No more will come: the test says how many are missing.
    return found


def _wait() -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{_PORT}/health", timeout=5).close()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        else:
            return


def main() -> None:
    folder, *arms = sys.argv[1:]
    program = Path(folder, "node_modules/@spotlightjs/spotlight/dist/run.js")
    with Path(folder, "spotlight.log").open("wb") as log:
        process = subprocess.Popen(
            ["node", str(program), "server", "--port", str(_PORT)],
            stdout=log,
            stderr=log,
            cwd=folder,
            env={**os.environ, "HOME": folder},
        )
    try:
        _wait()
        import sentry_loop

        done = sentry_loop.run(f"http://key@127.0.0.1:{_PORT}/1", arms)
        print(json.dumps({"done": done, "events": _events(len(done))}))
    finally:
        process.terminate()
        process.wait(timeout=20)


if __name__ == "__main__":
    main()
