"""Run the table in a process of its own, which Sentry's patches leave with it; print JSON."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import sentry_kit
from contract import telemetry
from everylayer import own_failures
from sentry_apps import APPS, KINDS, PLACES, ServeApp, configure_django
from sentry_kit import Kept, frames_of_ours, initialised, loop_problems, mechanism, types

LINKS = {"trace_url": sentry_kit.TRACE_URL, "sentry_url": sentry_kit.SENTRY_URL}
# Where an error is dealt with in a way of its own, by the framework or a layer.
ANSWERED = ("view", "swallow", "handler", "stream")
SETTINGS = ("off", "link", "capture")


def rows(name: str, stock: bool, tracing: bool, kept: Kept) -> Iterator[dict[str, Any]]:
    """Serve each failing path of one app, without everylayer and under each setting."""
    paths = [f"/{where}/{KINDS[0]}" for where in PLACES[name]]
    if stock and not tracing:
        # What an exception is made of has nothing to do with who else is there.
        answered = [where for where in PLACES[name] if where in ANSWERED]
        paths += [f"/{where}/{kind}" for where in answered for kind in KINDS[1:]]
    bare = APPS[name](stock, {})
    plain = {path: serve(bare, path, kept) for path in paths}
    for setting in SETTINGS:
        app = APPS[name](stock, {"sentry": setting, **LINKS})
        for path in paths:
            if setting == "off" and (tracing or not path.endswith("/plain")):
                continue
            done = serve(app, path, kept)
            _, where, kind = path.split("/")
            yield {
                "app": name,
                "stock": stock,
                "tracing": tracing,
                "setting": setting,
                "where": where,
                "kind": kind,
                "same": repr(done["run"]) == repr(plain[path]["run"]),
                "before": len(plain[path]["events"]),
                **{key: done[key] for key in ("problems", "spans", "tree")},
                "events": [
                    {
                        "types": types(e),
                        "mechanism": mechanism(e),
                        "tags": e.get("tags") or {},
                        "ours": frames_of_ours(e),
                    }
                    for e in done["events"]
                ],
            }


def serve(app: ServeApp, path: str, kept: Kept) -> dict[str, Any]:
    """Serve one request."""
    kept.events = []
    with telemetry.session() as spans:
        run = app(path)
        seen = spans.spans
        return {
            "run": run,
            "events": kept.events,
            "tree": telemetry.tree(seen),
            "problems": [loop_problems(seen, event) for event in kept.events],
            "spans": [
                [str((e.event.attributes or {}).get("sentry.event_id", "")), sentry_kit.type_of(e)]
                for e in telemetry.error_events(seen)
            ],
        }


def calls(name: str, stock: bool) -> list[str]:
    """Serve a request that works; return the functions of the link that were called for it."""
    app = APPS[name](stock, {"sentry": "capture", **LINKS})
    called: list[str] = []

    def watch(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and "sinks/sentry" in frame.f_code.co_filename.replace("\\", "/"):
            called.append(frame.f_code.co_name)
        # Django's app is put together right before the request, which is no part of it.
        if event == "call" and frame.f_code.co_name in ("run_wsgi", "run_asgi"):
            called.clear()

    with telemetry.session():
        app("/fine/plain")
        threading.setprofile(watch)
        sys.setprofile(watch)
        try:
            assert app("/fine/plain").status == 200
        finally:
            sys.setprofile(None)
            threading.setprofile(None)  # type: ignore[arg-type]
    return called


def sent(name: str, stock: bool, kept: Kept) -> list[str]:
    """Serve requests full of secrets; return what goes to Sentry, as text."""
    app = APPS[name](stock, {"sentry": "capture", "local_variables": True})
    kept.raw = []
    for where in PLACES[name]:
        with telemetry.session():
            app(f"/{where}/secret?token=hunt3r2query")
    return [raw.decode() for raw in kept.raw]


def main() -> None:
    logging.disable(logging.CRITICAL)
    configure_django()
    found: list[dict[str, Any]] = []
    happy: list[dict[str, Any]] = []
    for tracing in (False, True):
        with initialised(**({"traces_sample_rate": 1.0} if tracing else {})) as kept:
            for name in APPS:
                for stock in (True,) if tracing else (False, True):
                    found += rows(name, stock, tracing, kept)
                    happy.append({"app": name, "tracing": tracing, "calls": calls(name, stock)})
    payloads = {}
    with initialised(include_local_variables=True, send_default_pii=True) as kept:
        for name in APPS:
            payloads[name] = [text for stock in (False, True) for text in sent(name, stock, kept)]
    made = {"payloads": payloads, "rows": found, "happy": happy, "failures": dict(own_failures())}
    sys.stdout.write(json.dumps(made))


if __name__ == "__main__":
    main()
