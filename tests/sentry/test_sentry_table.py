"""Each app, each place and kind of error, beside Sentry's own integrations."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sentry_apps import APPS, CARD, PLACES

HERE = Path(__file__).parent
SHOWS = {
    "plain": ["FirstError"],
    "chain": ["SecondError", "FirstError"],
    "builtin": ["ValueError"],
    "group": ["ExceptionGroup", "FirstError", "SecondError"],
}
# Sentry takes these where no span is current, and before any layer of ours has seen them.
WITHOUT_A_SPAN = {
    ("flask", True, "layer"),
    ("flask", True, "outer"),
    ("flask", True, "stream"),
    ("flask", False, "stream"),
}
# Its wrapper stands outside of ours, and takes these when their span has ended.
AFTER_THE_SPAN = {("django_wsgi", "stream"), ("django_asgi", "stream")}
_NO_GROUPS = sys.version_info < (3, 11)
# The app tells Sentry before any layer has seen the error.
BEFORE_ANY_LAYER = "reported"


def served() -> dict[str, Any]:
    """Serve every request of the table in one process that Sentry may patch."""
    path = os.pathsep.join([str(HERE), str(HERE.parent / "support"), *sys.path])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(HERE / "sentry_table.py")],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def table() -> dict[str, Any]:
    return served()


def chosen(table: dict[str, Any], **wanted: Any) -> list[dict[str, Any]]:
    rows = [row for row in table["rows"] if all(row[k] == v for k, v in wanted.items())]
    rows = [row for row in rows if is_told(row)]
    assert rows
    return rows


def is_told(row: dict[str, Any]) -> bool:
    """Tell whether Sentry and everylayer look into what failed: not into anyio's groups on 3.10."""
    groups = any("ExceptionGroup" in event["types"] for event in row["events"])
    return not (groups and _NO_GROUPS)


def named(row: dict[str, Any]) -> str:
    keys = ("app", "stock", "tracing", "setting", "where", "kind")
    return f"{[row[key] for key in keys]} {row['events']}\n{row['tree']}"


@pytest.mark.parametrize("name", APPS)
def test_every_place_is_there(table: dict[str, Any], name: str) -> None:
    rows = [row for row in table["rows"] if row["app"] == name]
    assert {row["where"] for row in rows} == set(PLACES[name])


@pytest.mark.parametrize("name", APPS)
def test_the_response_is_what_it_was(table: dict[str, Any], name: str) -> None:
    for row in chosen(table, app=name):
        assert row["same"], named(row)


@pytest.mark.parametrize("name", APPS)
def test_one_event_for_each_error(table: dict[str, Any], name: str) -> None:
    for row in chosen(table, app=name, setting="capture"):
        assert len(row["events"]) == 1, named(row)


@pytest.mark.parametrize("setting", ["off", "link"])
@pytest.mark.parametrize("name", APPS)
def test_sentry_says_what_it_says_without(table: dict[str, Any], name: str, setting: str) -> None:
    for row in chosen(table, app=name, setting=setting):
        assert len(row["events"]) == row["before"], named(row)


@pytest.mark.parametrize("name", APPS)
def test_what_sentry_misses_is_captured(table: dict[str, Any], name: str) -> None:
    rows = chosen(table, app=name, setting="capture")
    missed = [row for row in rows if not row["before"]]
    assert missed
    for row in missed:
        (event,) = row["events"]
        assert event["mechanism"]["type"] == "everylayer"
        answered = row["where"] == "swallow" or (name, row["where"]) in {
            ("flask", "handler"),
            ("starlette", "handler"),
            ("fastapi", "handler"),
        }
        assert event["mechanism"]["handled"] is answered, named(row)


@pytest.mark.parametrize("name", APPS)
def test_what_sentry_sees_is_left_to_it(table: dict[str, Any], name: str) -> None:
    rows = [r for r in chosen(table, app=name, setting="capture") if r["before"]]
    late = [row for row in rows if (name, row["where"]) in AFTER_THE_SPAN]
    for row in (row for row in rows if row not in late):
        (event,) = row["events"]
        assert event["mechanism"]["type"] != "everylayer", named(row)


@pytest.mark.parametrize("name", APPS)
def test_chains_and_groups_stay_whole(table: dict[str, Any], name: str) -> None:
    for row in chosen(table, app=name):
        for event in row["events"]:
            shown = event["types"]
            if row["kind"] == "group" and row["where"] == "handler" and "django" not in name:
                # The SDK names a group that is a cause, and leaves out what it holds.
                assert "ExceptionGroup" in shown
                continue
            # What a handler makes of it comes first, what asyncio does around it last.
            assert set(SHOWS[row["kind"]]) <= set(shown), named(row)


@pytest.mark.parametrize("name", APPS)
def test_no_frame_is_ours(table: dict[str, Any], name: str) -> None:
    """Sentry tells issues apart by their frames."""
    for row in chosen(table, app=name):
        assert row["setting"] == "off" or not any(e["ours"] for e in row["events"]), named(row)


@pytest.mark.parametrize("setting", ["link", "capture"])
@pytest.mark.parametrize("name", APPS)
def test_the_links_lead_there_and_back(table: dict[str, Any], name: str, setting: str) -> None:
    for row in chosen(table, app=name, setting=setting):
        if (name, row["stock"], row["where"]) in WITHOUT_A_SPAN:
            assert any(event_id for event_id, _ in row["spans"]), named(row)
        elif setting == "link" and (name, row["where"]) in AFTER_THE_SPAN:
            assert all("names None" in problem for p in row["problems"] for problem in p)
        else:
            assert not any(row["problems"]), f"{row['problems']} {named(row)}"


@pytest.mark.parametrize("name", APPS)
def test_a_wrapper_of_sentrys_is_no_layer(table: dict[str, Any], name: str) -> None:
    for row in chosen(table, app=name):
        for event in row["events"]:
            layer = event["tags"].get("everylayer.layer", "")
            assert "_sentry" not in layer.lower(), named(row)
            assert "_Scoped" not in layer, named(row)


@pytest.mark.parametrize("name", APPS)
def test_the_layer_is_named(table: dict[str, Any], name: str) -> None:
    for row in chosen(table, app=name):
        for event in row["events"]:
            told = "everylayer.layer" in event["tags"]
            unseen = row["where"] == BEFORE_ANY_LAYER or (name, row["where"]) == ("flask", "stream")
            assert told is (row["setting"] != "off" and not unseen), named(row)


@pytest.mark.parametrize("name", APPS)
def test_a_request_that_works_meets_no_hook(table: dict[str, Any], name: str) -> None:
    for row in (row for row in table["happy"] if row["app"] == name):
        # Sentry hands its own transactions to each event processor and to the scrubber: two calls
        # that pass them on, and all there is.
        assert row["calls"] == (["process", "scrub_event"] if row["tracing"] else [])


def test_nothing_of_ours_failed(table: dict[str, Any]) -> None:
    assert table["failures"] == {}


@pytest.mark.parametrize("name", APPS)
def test_no_secret_of_a_request_reaches_sentry(table: dict[str, Any], name: str) -> None:
    payloads = table["payloads"][name]
    # Twice: with stock instrumentation and without.
    assert len(payloads) >= 2 * (len(PLACES[name]) - 1)
    for text in payloads:
        found = [text[max(at - 200, 0) : at + 40] for at in (text.find("hunt3r2"),) if at >= 0]
        assert not found
        assert CARD not in text
        # A group is told without what it holds there.
        assert "no such card: [card]" in text or (_NO_GROUPS and '"exceptiongroup"' in text)
    assert any("'theme'" in text or '"theme":"[secret]"' in text for text in payloads)
    assert any("Holder(api_key=[secret])" in text for text in payloads)
