"""The child: one app in one arm, `python -m everylayer.audit.arm FD`, a job on stdin.

Its answers are JSON lines on the file descriptor FD, since the app may print as it likes:
`{"chain": ...}`, `{"ready": true}`, `{"trial": ...}`, `{"error": ..., "details": ...}`, and
`{"end": true}` as the last one of a child that has done what it was asked for.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import Any

from .adapter import Adapter, Opened, adapters
from .drive import driving
from .failing import describe, failure, run
from .missing import LoggedErrors, missing_service
from .model import Request, Trial, to_json
from .neutral import Neutral
from .silence import silence
from .store import Store
from .target import load
from .wire import Chained, Job, TargetError, read

Write = Callable[[dict[str, Any]], None]

_PACKAGES = ("everylayer", "opentelemetry", "django", "flask", "starlette", "fastapi", "werkzeug")


def main() -> None:
    """Do the job that stdin holds."""
    descriptor = int(sys.argv[1])
    os.set_inheritable(descriptor, False)
    job = read(Job, json.loads(sys.stdin.readline()))
    _close_stdin()
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as out:

        def write(line: dict[str, Any]) -> None:
            out.write(json.dumps(line, default=str) + "\n")
            out.flush()

        try:
            work(job, write)
        except TargetError as error:
            write({"error": str(error), "details": error.details})
        except BaseException as exc:  # noqa: BLE001 - the parent tells of it
            wrong = failure(f"the audit itself failed: {describe(exc)}", exc)
            write({"error": str(wrong), "details": wrong.details})
        write({"end": True})


def work(job: Job, write: Write) -> None:
    """Open the target and answer what `job` asks.

    Raises:
        TargetError: the target cannot be opened.
    """
    store = silence(job.arm)
    logged = LoggedErrors()
    known: list[Adapter] = adapters()
    known.append(Neutral(tuple(known)))
    for adapter in known:
        adapter.prepare(job.arm)
    adapter, app = load(job.target, job.factory, known)
    aim = getattr(adapter, "aim", None)
    if aim is not None:
        aim(job.request)
    opened = run(lambda: adapter.open(app, job.arm, job.shape), "opening the app")
    if job.kind != "trials":
        chained = _chained(adapter, opened)
        if job.kind == "path":
            chained = _pass(opened, job.request, chained)
        write({"chain": to_json(chained)})
        return
    write({"ready": True})
    for trial in _trials(opened, job, store):
        error = _service_error(trial, logged)
        if error:
            raise TargetError(error)
        logged.forget()
        write({"trial": to_json(trial)})


def _trials(opened: Opened, job: Job, store: Store) -> Iterator[Trial]:
    from .trial import run_trials

    return run_trials(opened, job.request, job.faults, job.arm, store)


def _service_error(trial: Trial, logged: LoggedErrors) -> str:
    """Tell of a service that a request without any fault has missed."""
    failed = trial.answer.status is None or trial.answer.status >= 500
    if trial.fault.error != "none" or not failed or logged.last is None:
        return ""
    return missing_service(logged.last)


def _chained(adapter: Adapter, opened: Opened) -> Chained:
    return Chained(
        framework=adapter.framework,
        interface=opened.interface,
        nodes=opened.chain.nodes,
        stock=opened.stock,
        versions=versions(),
    )


def _pass(opened: Opened, request: Request, chained: Chained) -> Chained:
    """Send `request` once, with somebody waiting at the start of each layer."""
    passed: dict[str, None] = {}
    points = [
        (node, point) for (node, phase), point in opened.chain.points.items() if phase == "before"
    ]
    for node, point in points:
        point.arm(functools.partial(passed.setdefault, node))
    try:
        with driving(opened) as driver:
            answer = driver.send(request)
    finally:
        for _, point in points:
            point.disarm()
    return dataclasses.replace(chained, passed=tuple(passed), status=answer.status)


def versions() -> dict[str, str]:
    """Return the versions of Python and of each installed package that matters here."""
    found = {"python": sys.version.partition(" ")[0]}
    for distribution in metadata.distributions():
        name = distribution.name or ""
        if name.lower().startswith(_PACKAGES):
            found[name.lower()] = distribution.version
    return dict(sorted(found.items()))


def _close_stdin() -> None:
    """Let an app that reads stdin, or stops in a debugger, meet its end at once."""
    with open(os.devnull, "rb") as nothing, contextlib.suppress(OSError):
        os.dup2(nothing.fileno(), 0)


if __name__ == "__main__":
    main()
