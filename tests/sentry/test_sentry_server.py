"""The closed loop over a real server: error, event, trace id, span, event id, the same event."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sentry_server import serving

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("bugsink") is None, reason="Bugsink is not installed: nox -s sentry"
)

HERE = Path(__file__).parent
# Each is one error, and one event on the server.
PATHS = ["/view/plain", "/swallow/chain", "/layer/builtin", "/handler/plain", "/stream/plain"]
SERVE = """
import json, logging, sys
logging.disable(logging.CRITICAL)
import sentry_sdk
from contract import telemetry
from sentry_apps import APPS
from sentry_kit import SENTRY_URL, TRACE_URL
name, dsn, *paths = sys.argv[1:]
sentry_sdk.init(dsn=dsn)
rules = {"sentry": "capture", "trace_url": TRACE_URL, "sentry_url": SENTRY_URL}
app = APPS[name](True, rules)
spans = []
for path in paths:
    with telemetry.session() as seen:
        app(path)
        spans += [json.loads(span.to_json(indent=None)) for span in seen.spans]
sentry_sdk.flush(10)
json.dump(spans, sys.stdout)
"""


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Any], list[Any]]:
    """Spans of the app, and events of the server."""
    path = os.pathsep.join([str(HERE), str(HERE.parent / "support"), *sys.path])
    spans: list[Any] = []
    with serving(tmp_path_factory.mktemp("bugsink")) as server:
        for name in ("flask", "starlette"):
            done = subprocess.run(
                [sys.executable, "-W", "ignore", "-c", SERVE, name, server.dsn, *PATHS],
                capture_output=True,
                text=True,
                timeout=120,
                env={**os.environ, "PYTHONPATH": path},
            )
            assert done.returncode == 0, done.stderr[-3000:]
            spans += json.loads(done.stdout)
        return spans, server.events(2 * len(PATHS))


def test_each_error_is_one_event(closed: tuple[list[Any], list[Any]]) -> None:
    _, events = closed
    assert len(events) == 2 * len(PATHS)
    assert len({event["event_id"] for event in events}) == len(events)


def test_the_loop_is_closed(closed: tuple[list[Any], list[Any]]) -> None:
    spans, events = closed
    named = {s["attributes"]["sentry.event_id"]: s for s in spans if _names_event(s)}
    assert named.keys() == {event["event_id"].replace("-", "") for event in events}
    linked = 0
    for event in events:
        span = named[event["event_id"].replace("-", "")]
        otel = event["contexts"].get("otel")
        if otel is None:  # Sentry took it before the span began: one way only.
            continue
        linked += 1
        assert f"0x{otel['trace_id']}" == span["context"]["trace_id"]
        assert f"0x{otel['span_id']}" == span["context"]["span_id"]
        assert event["contexts"]["trace"]["trace_id"] == otel["trace_id"]
        assert otel["trace_url"].startswith(f"https://jaeger.example/trace/{otel['trace_id']}")
        tags = dict(event["tags"])
        assert tags["otel.trace_id"] == otel["trace_id"]
        assert tags["everylayer.layer"]
    # Under Flask: the hook before stock's own, and the stream.
    assert linked == 2 * len(PATHS) - 2


def _names_event(span: Any) -> bool:
    return "sentry.event_id" in span["attributes"]
