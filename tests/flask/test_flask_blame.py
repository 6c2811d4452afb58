"""Which of several errors a failing request is put down to."""

from __future__ import annotations

import flask
import pytest
from werkzeug.exceptions import HTTPException

from contract import drive
from contract.faults import PLAIN, fault_site
from contract.telemetry import Telemetry, error_events, server_span
from everylayer_flask import EveryLayer


@pytest.mark.parametrize("path", ["/nowhere", "/refused"])
def test_an_error_handler_that_fails_is_the_failure(path: str, telemetry: Telemetry) -> None:
    app = flask.Flask("shop")
    EveryLayer(app)

    @app.errorhandler(403)
    @app.errorhandler(404)
    def answer(exc: HTTPException) -> str:
        fault_site(PLAIN)

    app.add_url_rule("/refused", view_func=lambda: flask.abort(403), endpoint="refused")
    assert drive.run_wsgi(app, drive.environ(path)).status == 500
    span = server_span(telemetry.spans)
    assert (span.attributes or {})["error.type"] == PLAIN.type
    assert span.status.description == PLAIN.message
    assert [e.event.attributes["everylayer.handled"] for e in error_events([span])] == [True, False]
