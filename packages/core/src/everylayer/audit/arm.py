"""The child: one app in one arm, `python -m everylayer.audit.arm FD`, a job on stdin.

Its answers are JSON lines on the file descriptor FD, since the app may print as it likes:
`{"chain": ...}`, `{"opening": true}`, `{"ready": true}`, `{"trial": ...}`,
`{"unreached": true}` in place of a trial of which there is no more to say,
`{"error": ..., "details": ...}`, and `{"end": true}` as the last one of a child that was not lost.
Trials that it has left out by then, whose shape needs an app imported anew, are another child's.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import json
import os
import sys
from collections.abc import Callable
from importlib import metadata
from typing import Any

from .adapter import Adapter, Opened, adapters
from .decode import decode
from .drive import driving
from .failing import describe, failure, run
from .forking import can_fork, in_fork
from .hosts import ask
from .missing import LoggedErrors, missing_service
from .model import Request, Trial, to_json
from .neutral import Neutral
from .silence import silence
from .store import Store
from .target import load
from .wire import Chained, Job, TargetError

Write = Callable[[dict[str, Any]], None]

_PACKAGES = (
    *("everylayer", "opentelemetry", "django", "flask", "starlette", "fastapi", "werkzeug"),
    *("aiohttp", "grpcio", "litestar"),
)


def main() -> None:
    """Do the job that stdin holds."""
    descriptor = int(sys.argv[1])
    os.set_inheritable(descriptor, False)
    job = decode(Job, json.loads(sys.stdin.readline()), "job")
    _close_stdin()
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as out:

        def write(line: dict[str, Any]) -> None:
            out.write(json.dumps(line, default=str) + "\n")
            out.flush()

        telling(lambda: work(job, write), write)
        write({"end": True})


def telling(step: Callable[[], None], write: Write) -> None:
    """Do `step`, and write what it fails by."""
    try:
        step()
    except TargetError as error:
        write({"error": str(error), "details": error.details})
    except BaseException as exc:  # noqa: BLE001 - the parent tells of it
        wrong = failure(f"the audit itself failed: {describe(exc)}", exc)
        write({"error": str(wrong), "details": wrong.details})


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
    if job.kind == "trials":
        trials = functools.partial(_try_all, adapter, app, store, logged)
        _by_shape(job, write, trials)
        return
    opened = run(lambda: adapter.open(app, job.arm, "raised"), "opening the app")
    chained = _chained(adapter, opened)
    if job.kind == "path":
        chained = _pass(opened, job.request, chained)
    write({"chain": to_json(chained)})


def _by_shape(job: Job, write: Write, trials: Callable[[Job, Write], None]) -> None:
    """Open the app anew for each shape; the parent asks again for what cannot be done here."""
    groups = [tuple(group) for _, group in itertools.groupby(job.faults, lambda f: f.shape)]
    if len(groups) == 1 or not can_fork():
        trials(dataclasses.replace(job, faults=groups[0]), write)
        return
    for group in groups:
        step = functools.partial(trials, dataclasses.replace(job, faults=group), write)
        # What has failed is written: the parent reads no further.
        in_fork(functools.partial(telling, step, write))


def _try_all(
    adapter: Adapter, app: Any, store: Store, logged: LoggedErrors, job: Job, write: Write
) -> None:
    from .trial import run_trials

    write({"opening": True})
    shape = job.faults[0].shape
    opened = run(lambda: adapter.open(app, job.arm, shape), "opening the app")
    write({"ready": True})
    for trial in run_trials(opened, job.request, job.faults, job.arm, store):
        error = _service_error(trial, logged)
        if error:
            raise TargetError(error)
        logged.forget()
        # Most faults belong to endpoints that were not asked for, thousands in a large app.
        write({"trial": to_json(trial)} if trial.reached else {"unreached": True})


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
        request=opened.request,
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
            answer = driver.send(ask(opened.request or request, opened.host))
    finally:
        for _, point in points:
            point.disarm()
    return dataclasses.replace(
        chained, passed=tuple(passed), status=answer.status, code=answer.code
    )


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
