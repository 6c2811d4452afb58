"""The closed loop over real receivers: error, event, trace id, span, event id, the same event."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import sentry_spotlight
from sentry_apps import APPS, SHOWS
from sentry_loop import ARMS, TAG
from sentry_server import serving

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("bugsink") is None, reason="Bugsink is not installed: nox -s sentry"
)

HERE = Path(__file__).parent
# Sentry takes these where no span is current: the span names the event, and not the other way.
WITHOUT_A_SPAN = {("flask", "layer"), ("flask", "outer"), ("flask", "stream")}


class Loop(NamedTuple):
    """What went in and what came out.

    Attributes:
        done: the requests, each with its spans.
        events: what the receiver has, by event id.
    """

    done: list[dict[str, Any]]
    events: dict[str, dict[str, Any]]

    def of(self, arm: str, app: str) -> list[dict[str, Any]]:
        found = [one for one in self.done if (one["arm"], one["app"]) == (arm, app)]
        assert found
        return found


def environment() -> dict[str, str]:
    folders = [str(HERE), str(HERE.parent / "support"), *sys.path]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}


@pytest.fixture(scope="module")
def installing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The folder for Spotlight and what fills it, beside all that Bugsink does."""
    if sentry_spotlight.missing():
        yield None
        return
    folder = tmp_path_factory.mktemp("spotlight")
    process = sentry_spotlight.start_install(folder)
    yield folder, process
    if process.poll() is None:
        process.kill()


@pytest.fixture(scope="module")
def bugsink(installing: Any, tmp_path_factory: pytest.TempPathFactory) -> Loop:
    with serving(tmp_path_factory.mktemp("bugsink")) as server:
        served = subprocess.run(
            [sys.executable, "-W", "ignore", str(HERE / "sentry_loop.py"), server.dsn, *ARMS],
            capture_output=True,
            text=True,
            timeout=120,
            env=environment(),
        )
        assert served.returncode == 0, served.stderr[-3000:]
        done = json.loads(served.stdout)
        return Loop(done, _by_id(map(server.event, server.events(len(done)))))


@pytest.fixture(scope="module")
def spotlight(bugsink: Loop, installing: Any) -> Loop:
    if installing is None:
        pytest.skip(f"Spotlight: {sentry_spotlight.missing()}")
    folder, process = installing
    if process.wait(timeout=120):
        pytest.skip(f"Spotlight: npm failed: {(folder / 'npm.log').read_text()[-300:]}")
    found = sentry_spotlight.receive(folder, ["plain"], environment())
    return Loop(found["done"], _by_id(found["events"]))


def _by_id(events: Any) -> dict[str, dict[str, Any]]:
    return {event["event_id"].replace("-", ""): event for event in events}


@pytest.mark.parametrize("app", APPS)
@pytest.mark.parametrize("arm", ARMS)
def test_bugsink_closes_the_loop(bugsink: Loop, arm: str, app: str) -> None:
    closed(bugsink, arm, app)


@pytest.mark.parametrize("app", APPS)
def test_spotlight_closes_the_loop(spotlight: Loop, app: str) -> None:
    closed(spotlight, "plain", app)


def closed(loop: Loop, arm: str, app: str) -> None:
    """Go from each span of an error to its event and back."""
    counts = Counter(dict(event["tags"])[TAG] for event in loop.events.values())
    for one in loop.of(arm, app):
        drive = one["drive"]
        assert counts[drive] == 1, f"{drive}: {counts[drive]} events"
        (span,) = [s for s in one["spans"] if "sentry.event_id" in s["attributes"]]
        event = loop.events[span["attributes"]["sentry.event_id"]]
        assert dict(event["tags"])[TAG] == drive
        _, where, kind = one["path"].split("/")
        shown = {value["type"] for value in event["exception"]["values"]}
        assert set(SHOWS[kind]) <= shown, f"{drive} {shown}"
        if (app, where) in WITHOUT_A_SPAN and "otel" not in event["contexts"]:
            continue
        otel = event["contexts"]["otel"]
        assert f"0x{otel['trace_id']}" == span["context"]["trace_id"], drive
        assert f"0x{otel['span_id']}" == span["context"]["span_id"], drive
        assert event["contexts"]["trace"]["trace_id"] == otel["trace_id"], drive
        assert event["contexts"]["trace"]["span_id"] == otel["span_id"], drive
        assert otel["trace_url"].startswith(f"https://jaeger.example/trace/{otel['trace_id']}")
        assert dict(event["tags"])["otel.trace_id"] == otel["trace_id"]
        assert (where == "reported") or dict(event["tags"])["everylayer.layer"]


@pytest.mark.parametrize("arm", ARMS)
def test_what_was_swallowed_says_so(bugsink: Loop, arm: str) -> None:
    # Under Flask Sentry takes it before any layer can swallow it.
    for app in APPS.keys() - {"flask"}:
        (one,) = [one for one in bugsink.of(arm, app) if one["path"] == "/swallow/plain"]
        (event,) = [e for e in bugsink.events.values() if dict(e["tags"])[TAG] == one["drive"]]
        mechanism = event["exception"]["values"][-1]["mechanism"]
        assert (mechanism["type"], mechanism["handled"]) == ("everylayer", True), one["drive"]
