"""The errors that Sentry is told of: by its own integrations alone, and with everylayer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import test_sentry_table as table
from contract.telemetry import Telemetry
from matrix_trial import Arm, Trial
from sentry_apps import APPS

Rows = Mapping[str, Any]
_KEYS = ("app", "stock", "tracing", "where", "kind")


class SentryTrial(Trial):
    """One failing path of an app, as it was served under each of our settings.

    Args:
        rows: of the table, by the setting.
    """

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        one = rows["capture"]
        self.name = " ".join(f"{key}={one[key]}" for key in _KEYS)
        self.failing = True

    def serve(self, arm: Arm) -> Rows:
        return self.rows

    def wrong(self, seen: Rows, telemetry: Telemetry, *, ours: bool) -> list[str]:
        if not ours:
            return [] if seen["capture"]["before"] == 1 else ["not one event of Sentry's own"]
        return list(_complaints(_checks(seen)))

    def noticed(self, bare: Rows, seen: Rows) -> list[str]:
        return [f"with {setting}" for setting, row in seen.items() if not row["same"]]


class Quiet(Trial):
    """What must hold of the table besides its errors."""

    def __init__(self, check: Callable[..., None], made: Rows, *about: str) -> None:
        self.name = " ".join([check.__name__, *about])
        self.failing = False
        self.check = partial(check, made, *about)

    def serve(self, arm: Arm) -> None:
        pass

    def wrong(self, seen: None, telemetry: Telemetry, *, ours: bool) -> list[str]:
        return list(_complaints([self.check]))

    def noticed(self, bare: None, seen: None) -> list[str]:
        return []


def _checks(rows: Rows) -> Iterator[partial[None]]:
    """Yield the table's tests, each for these rows alone."""
    made = {"rows": list(rows.values())}
    capture = rows["capture"]
    app = capture["app"]
    for check in (
        table.test_one_event_for_each_error,
        table.test_what_sentry_sees_is_left_to_it,
        table.test_chains_and_groups_stay_whole,
        table.test_no_frame_is_ours,
        table.test_a_wrapper_of_sentrys_is_no_layer,
        table.test_the_layer_is_named,
    ):
        yield partial(check, made, app)
    if not capture["before"]:
        yield partial(table.test_what_sentry_misses_is_captured, made, app)
    for setting in rows:
        if setting != "capture":
            yield partial(table.test_sentry_says_what_it_says_without, made, app, setting)
        if setting != "off":
            yield partial(table.test_the_links_lead_there_and_back, made, app, setting)


def _complaints(checks: Iterable[partial[None]]) -> Iterator[str]:
    for check in checks:
        try:
            check()
        # An event that is not there breaks a test before it can say so.
        except Exception as error:
            yield f"{check.func.__name__}: {error!r}"


def trials() -> Iterator[Trial]:
    """Yield each failing path that Sentry shows as it is, and what holds of each app."""
    made = table.served()
    grouped: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in made["rows"]:
        if table.is_told(row):
            grouped.setdefault(tuple(row[key] for key in _KEYS), {})[row["setting"]] = row
    yield from (SentryTrial(rows) for rows in grouped.values() if "capture" in rows)
    for app in APPS:
        yield Quiet(table.test_a_request_that_works_meets_no_hook, made, app)
        yield Quiet(table.test_no_secret_of_a_request_reaches_sentry, made, app)
    yield Quiet(table.test_nothing_of_ours_failed, made)
