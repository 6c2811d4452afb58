"""A Bugsink of its own: SQLite in a folder that goes away, on a free port of the loopback."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_CONF = """
from bugsink.settings.default import *
SECRET_KEY = "for tests only, and long enough to be taken for one by Django's own checks"
DATABASES["default"]["NAME"] = {folder!r} + "/db.sqlite3"
DATABASES["snappea"]["NAME"] = {folder!r} + "/snappea.sqlite3"
SNAPPEA = {{"TASK_ALWAYS_EAGER": True}}
# The tables as they are in the end: most of the time would go into how they came to be.
MIGRATION_MODULES = {{app.rpartition(".")[2]: None for app in INSTALLED_APPS}}
EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
BUGSINK = {{
    "BASE_URL": "http://127.0.0.1:{port}",
    "INGEST_STORE_BASE_DIR": {folder!r} + "/ingestion",
    "PHONEHOME": False,
}}
"""
_PREPARE = """
import django
from django.core.management import call_command

django.setup()
for database in ("default", "snappea"):
    call_command("migrate", verbosity=0, database=database, run_syncdb=True)

from bsmain.models import AuthToken
from phonehome.models import Installation
from projects.models import Project
from teams.models import Team

# The one row that a migration adds.
Installation.objects.create()
team = Team.objects.create(name="tests")
project = Project.objects.create(name="shop", team=team)
token = AuthToken.create_full_access().token
print("made", project.id, project.sentry_key, token)
"""


class Server:
    """A running Bugsink with one project.

    Attributes:
        dsn: where that project's events go.
    """

    def __init__(self, port: int, project: str, key: str, token: str) -> None:
        self.dsn = f"http://{key}@127.0.0.1:{port}/{project}"
        self._base = f"http://127.0.0.1:{port}/api/canonical/0"
        self._project = project
        self._token = token

    def get(self, path: str) -> Any:
        request = urllib.request.Request(
            f"{self._base}/{path}", headers={"Authorization": f"Bearer {self._token}"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def events(self, wanted: int, seconds: float = 20.0) -> list[dict[str, Any]]:
        """Return all events once there are `wanted`, or after `seconds`: what each list says."""
        deadline = time.monotonic() + seconds
        while True:
            issues = self.get(f"issues/?project={self._project}")["results"]
            listed = [e for i in issues for e in self.get(f"events/?issue={i['id']}")["results"]]
            if len(listed) >= wanted or time.monotonic() > deadline:
                return listed
            time.sleep(0.1)

    def event(self, listed: dict[str, Any]) -> dict[str, Any]:
        """Return the whole of one event, as it was sent."""
        return dict(self.get(f"events/{listed['id']}/")["data"])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Run a Bugsink for a while."""
    port = _free_port()
    conf = folder / "bugsink_conf.py"
    conf.write_text(_CONF.format(folder=str(folder), port=port), encoding="utf-8")
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "bugsink_conf", "PYTHONPATH": str(folder)}

    done = subprocess.run(
        [sys.executable, "-c", _PREPARE],
        env=env,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    made = next(line for line in done.stdout.splitlines() if line.startswith("made"))
    _, project, key, token = made.split()
    log = (folder / "server.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "bugsink.wsgi"],
        env=env,
        cwd=folder,
        stdout=log,
        stderr=log,
    )
    try:
        server = Server(port, project, key, token)
        _wait_for(server, process, folder)
        yield server
    finally:
        process.terminate()
        process.wait(timeout=20)
        log.close()


def _wait_for(server: Server, process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        assert process.poll() is None, (folder / "server.log").read_text()[-3000:]
        try:
            server.get("projects/")
        except OSError:
            assert time.monotonic() < deadline, (folder / "server.log").read_text()[-3000:]
            time.sleep(0.2)
        else:
            return
