"""With DEBUG on, Django's pages show the stack, the request and the settings: none may change."""

from __future__ import annotations

import logging
import re
import sys
from dataclasses import replace

import pytest

from contract.responses import Run, same
from contract.telemetry import Telemetry
from djangoapp.cases import CASES, Case
from djangoapp.serve import ENTRY, run

# One of each class; pages of hostile exceptions are megabytes long.
NAMES = [
    "plain.before-inside",
    "both.after-outermost",
    "async_plain.before-inside",
    "mixin.process_request-inside",
    "process_view",
    "async-process_view",
    "process_exception-raises",
    "view",
    "async-view",
    "render",
    "forgiven",
    "converter",
    "handler404",
    "handler500",
    "layer-http404",
    "layer-suspicious",
    "view-http404",
    "view-bad_request",
    "no-route",
    "stream",
    "second-failure",
    "translated",
    "answers-404",
    "view-cause",
    "layer-str_raises",
    "fine",
]
CHOSEN = [case for case in CASES if case.name in NAMES]
TRIED = [pytest.param(c, server, id=f"{c}-{server}") for c in CHOSEN for server in c.servers]


def plain(run: Run) -> Run:
    """Leave out what differs between two runs of the very same app."""
    body = re.sub(rb"0x[0-9a-f]{6,}|\d{13,}", b"id", run.body)
    body = re.sub(rb"Server time:.*?</tr>", b"", body, flags=re.DOTALL)
    body = re.sub(rb"\s+", b" ", body)
    # The one line that the user added.
    entry = b"&#x27;" + ENTRY.encode() + b"&#x27;"
    body = re.sub(b", " + entry + b"|" + entry + b"(, )?", b"", body)
    return replace(
        run, body=body, headers=tuple(h for h in run.headers if h[0] != "content-length")
    )


def test_every_chosen_case_exists() -> None:
    assert {case.name for case in CHOSEN} == set(NAMES)


@pytest.mark.parametrize("position", ["first", "last"])
@pytest.mark.parametrize(("case", "server"), TRIED)
def test_the_debug_page_is_the_same(
    case: Case, server: str, position: str, telemetry: Telemetry
) -> None:
    if sys.version_info < (3, 11) and case.name == "process_exception-raises":
        pytest.skip("Python 3.10 shows the frame of every function that an exception crossed")
    before = run(case, server, DEBUG=True)
    after = run(case, server, position=position, DEBUG=True)
    same(plain(before), plain(after), ignore=("date", "content-length"))


@pytest.mark.parametrize("server", ["wsgi", "asgi"])
@pytest.mark.parametrize("position", [None, "first", "middle", "last"])
def test_django_logs_the_same(
    server: str, position: str | None, telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    case = next(c for c in CASES if c.name == "plain.before-inside")
    logger = logging.getLogger("django")
    level = logger.level
    logger.addHandler(caplog.handler)
    logger.setLevel(logging.DEBUG)
    try:
        found = []
        for at in (None, position):
            caplog.clear()
            run(case, server, position=at, DEBUG=True)
            found.append([(r.name, r.levelname, r.getMessage()) for r in caplog.records])
    finally:
        logger.removeHandler(caplog.handler)
        logger.setLevel(level)
    assert found[0] == found[1]
    assert found[0]
    assert not logging.getLogger("django.request").filters
