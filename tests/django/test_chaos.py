"""Chaos in a Django project that serves already: what is put is on its trace, then it is gone."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.test.utils import override_settings

from contract.telemetry import Telemetry
from djangoapp.cases import CASES
from djangoapp.serve import ENTRY, serve, stock_instrumentation
from everylayer import chaos
from everylayer.audit.store import span_data
from everylayer.chaos import Chaos, Rule
from everylayer.chaos.integrity import check
from everylayer.chaos.permit import VARIABLE

pytestmark = pytest.mark.skipif(sys.version_info < (3, 12), reason="chaos needs 3.12")

FINE = next(case for case in CASES if case.name == "fine")
MANY = 25
PLAN = Chaos((Rule("Plain", probability=0.4), Rule("Mixin", "after", probability=0.4)))


@contextlib.contextmanager
def project(server: str, *, everylayer: bool) -> Iterator[WSGIHandler | ASGIHandler]:
    entries = [*[ENTRY] * everylayer, "djangoapp.layers.Plain", "djangoapp.layers.Mixin"]
    with override_settings(MIDDLEWARE=entries), stock_instrumentation(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Django's, of bodies of the other kind.
        yield ASGIHandler() if server == "asgi" else WSGIHandler()


@pytest.fixture(autouse=True)
def _staging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(VARIABLE, "staging")
    yield
    chaos.stop()


@pytest.mark.parametrize("server", ["wsgi", "asgi"])
@pytest.mark.parametrize("everylayer", [True, False])
def test_a_run_is_whole_with_everylayer_alone(
    telemetry: Telemetry, server: str, everylayer: bool
) -> None:
    with project(server, everylayer=everylayer) as handler:
        with chaos.start(handler, PLAN) as running:
            statuses = [serve(handler, FINE, server).status for _ in range(MANY)]
        result = check(running.journal.entries, map(span_data, telemetry.spans))
        assert statuses.count(500) == len(running.journal.faults) > 0
        assert result.ok is everylayer, result
        assert {serve(handler, FINE, server).status for _ in range(MANY)} == {200}
