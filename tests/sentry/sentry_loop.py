"""Fail on demand with the SDK's own transport, in a process that Sentry may patch; print JSON."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

from contract import telemetry
from sentry_apps import APPS, KINDS, PLACES, ServeApp, configure_django
from sentry_kit import SENTRY_URL, TRACE_URL

RULES = {"sentry": "capture", "trace_url": TRACE_URL, "sentry_url": SENTRY_URL}
# The tag that tells which request an event came from.
TAG = "drive"
ARMS = ("plain", "tracing", "otlp", "otlp_captures")
FEW = ("/view/plain", "/swallow/plain")


def options(arm: str) -> dict[str, Any]:
    """Return how Sentry is initialised for `arm`."""
    if arm == "tracing":
        return {"traces_sample_rate": 1.0}
    if not arm.startswith("otlp"):
        return {}
    from sentry_sdk.integrations.otlp import OTLPIntegration

    own = OTLPIntegration(
        setup_otlp_traces_exporter=False,
        setup_propagator=False,
        capture_exceptions=arm == "otlp_captures",
    )
    return {"integrations": [own]}


def paths(arm: str, name: str) -> list[str]:
    """Return what is requested: each is one error."""
    if arm != "plain":
        return list(FEW)
    more = [f"/{where}/{kind}" for where in ("view", "swallow") for kind in KINDS[1:]]
    return [*(f"/{where}/plain" for where in PLACES[name]), *more]


def drive(dsn: str, arms: list[str]) -> list[dict[str, Any]]:
    """Serve every path of every app; return what the spans of each request say.

    Args:
        dsn: where the events go.
        arms: some of `ARMS`; what Sentry patches for one stays for those after it.
    """
    import sentry_sdk

    done: list[dict[str, Any]] = []
    for arm in arms:
        sentry_sdk.init(dsn=dsn, release="shop@1", **options(arm))
        for name, made in APPS.items():
            app = made(True, RULES)
            done += [_request(app, arm, name, path) for path in paths(arm, name)]
            # Its queue holds a hundred, and what finds no room is dropped.
            sentry_sdk.flush(20)
    return done


def _request(app: ServeApp, arm: str, name: str, path: str) -> dict[str, Any]:
    import sentry_sdk

    drive = f"{arm} {name} {path}"
    sentry_sdk.get_global_scope().set_tag(TAG, drive)
    with telemetry.session() as seen:
        app(path)
        spans = [json.loads(span.to_json(indent=None)) for span in seen.spans]
    return {"drive": drive, "arm": arm, "app": name, "path": path, "spans": spans}


def run(dsn: str, arms: list[str]) -> list[dict[str, Any]]:
    """Prepare this process, and drive."""
    logging.disable(logging.CRITICAL)
    configure_django()
    return drive(dsn, arms)


def main() -> None:
    dsn, *arms = sys.argv[1:]
    print(json.dumps(run(dsn, arms)))


if __name__ == "__main__":
    main()
