"""What is found out once an error, once a code object, and anew when the settings change."""

from __future__ import annotations

from types import FrameType, TracebackType
from typing import Any

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest
from django.test.utils import override_settings

from contract import drive
from contract.expect import Expected, check
from contract.faults import PLAIN
from contract.telemetry import Telemetry, error_events
from djangoapp import plan
from djangoapp.serve import ENTRY
from everylayer_django import locate, requests

LAYERS = ["djangoapp.layers.Quiet", "djangoapp.layers.Plain"]


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """What was located, and what was classified for it."""
    found: dict[str, list[Any]] = {"errors": [], "frames": []}
    locate_it, classify = requests.locate, locate._role

    def located(tb: TracebackType | None, request: HttpRequest | None = None) -> Any:
        found["errors"].append(tb)
        return locate_it(tb, request)

    def classified(frame: FrameType) -> str:
        found["frames"].append(frame.f_code.co_name)
        return classify(frame)

    monkeypatch.setattr(requests, "locate", located)
    monkeypatch.setattr(locate, "_role", classified)
    return found


@pytest.mark.parametrize("server", ["wsgi", "asgi"])
@pytest.mark.parametrize("site", ["view", "plain.before"])
def test_the_first_seam_alone_locates(
    server: str, site: str, looked_up: dict[str, list[Any]], telemetry: Telemetry
) -> None:
    with override_settings(MIDDLEWARE=[ENTRY, *LAYERS]), plan.failing({site: PLAIN}):
        for _ in range(2):
            looked_up["frames"].clear()
            if server == "asgi":
                drive.run_asgi(ASGIHandler(), drive.scope("/ok"))
            else:
                drive.run_wsgi(WSGIHandler(), drive.environ("/ok"))
    assert len(error_events(telemetry.spans)) == 2
    assert len(looked_up["errors"]) == 2
    assert looked_up["frames"] == []


def test_the_index_follows_the_settings(telemetry: Telemetry) -> None:
    with override_settings(MIDDLEWARE=[ENTRY, *LAYERS]):
        handler = WSGIHandler()
    for layers, index in ((LAYERS, 1), (LAYERS[::-1], 0), (LAYERS[:1], None), (LAYERS, 1)):
        telemetry.clear()
        with override_settings(MIDDLEWARE=layers), plan.failing({"plain.before": PLAIN}):
            drive.run_wsgi(handler, drive.environ("/ok"))
        check(telemetry.spans, PLAIN, Expected(layer="Plain", phase="call"))
        (found,) = error_events(telemetry.spans)
        assert found.event.attributes.get("everylayer.layer.index") == index
