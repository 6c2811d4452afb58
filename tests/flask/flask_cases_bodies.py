"""Cases: what fails while, or after, a response is sent; and what must stay silent."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

import flask
from flask import Flask, abort, stream_with_context
from werkzeug.exceptions import NotFound

from contract.expect import ESCAPED, LATE, NOTHING
from contract.faults import BASE, Fault, fault_site
from flask_case import CASES
from flask_cases_hooks import view_named_home
from flask_layers import FallsBack, Through

STREAM = replace(ESCAPED, layer="parts", kind="view", phase="stream")
LATE_STREAM = replace(STREAM, late=True)


def parts(fault: Fault, first: int = 1) -> Iterator[str]:
    """Yield text, then raise."""
    for number in range(first):
        yield f"part {number}\n"
    fault_site(fault)


@CASES.add(STREAM, with_stock=LATE_STREAM, path="/stream")
def stream(app: Flask, fault: Fault) -> None:
    app.add_url_rule("/stream", "stream", lambda: parts(fault, 2))


CASES.vary(BASE, of="stream")


@CASES.add(STREAM, with_stock=LATE_STREAM, path="/stream")
def stream_at_once(app: Flask, fault: Fault) -> None:
    app.add_url_rule("/stream", "stream", lambda: parts(fault, 0))


# Before Flask 3.1, the context of such a stream, and so stock's span, lives as long as it.
@CASES.add(STREAM, with_stock=LATE_STREAM, either=True, path="/stream")
def stream_in_context(app: Flask, fault: Fault) -> None:
    app.add_url_rule("/stream", "stream", lambda: flask.Response(stream_with_context(parts(fault))))


@CASES.add(STREAM, with_stock=LATE_STREAM, path="/stream", config={"TESTING": True})
def stream_testing(app: Flask, fault: Fault) -> None:
    app.add_url_rule("/stream", "stream", lambda: parts(fault))


@CASES.add(STREAM, with_stock=LATE_STREAM, path="/stream")
def stream_under_layers(app: Flask, fault: Fault) -> None:
    app.add_url_rule("/stream", "stream", lambda: parts(fault))
    app.wsgi_app = Through(Through(app.wsgi_app))


@CASES.add(ESCAPED, with_stock=LATE, either=True, path="/page")
def stream_template(app: Flask, fault: Fault) -> None:
    app.add_url_rule(
        "/page",
        "page",
        lambda: flask.stream_template_string("{{ broken() }}", broken=lambda: fault_site(fault)),
    )


@CASES.add(replace(LATE, kind="hook", phase="close"), path="/close")
def call_on_close(app: Flask, fault: Fault) -> None:
    def closing() -> flask.Response:
        response = flask.Response("fine")
        response.call_on_close(lambda: fault_site(fault))
        return response

    app.add_url_rule("/close", "closing", closing)


@CASES.add(LATE, path="/close")
def stream_close(app: Flask, fault: Fault) -> None:
    class Body:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"one", b"two"])

        def close(self) -> None:
            fault_site(fault)

    app.add_url_rule("/close", "closing", lambda: flask.Response(Body()))


@CASES.add(LATE, path="/close", method="HEAD")
def close_of_head(app: Flask, fault: Fault) -> None:
    def closing() -> flask.Response:
        response = flask.Response(parts(fault))
        response.call_on_close(lambda: fault_site(fault))
        return response

    app.add_url_rule("/close", "closing", closing)


def healthy(app: Flask, fault: Fault) -> None:
    """Change nothing."""


for _name, _about in {
    "quiet_ok": {"path": "/ok"},
    "quiet_404": {"path": "/nowhere"},
    "quiet_405": {"path": "/ok", "method": "DELETE"},
    "quiet_options": {"path": "/ok", "method": "OPTIONS"},
    "quiet_head": {"path": "/ok", "method": "HEAD"},
}.items():
    CASES.add(NOTHING, name=_name, **_about)(healthy)  # type: ignore[arg-type]


@CASES.add(NOTHING, path="/folder")
def quiet_redirect(app: Flask, fault: Fault) -> None:
    app.add_url_rule("/folder/", "folder", lambda: "fine")


@CASES.add(NOTHING, path="/missing")
def quiet_view_404(app: Flask, fault: Fault) -> None:
    app.add_url_rule("/missing", "missing", lambda: abort(404))


@CASES.add(NOTHING, path="/missing")
def quiet_view_404_page(app: Flask, fault: Fault) -> None:
    app.register_error_handler(NotFound, lambda error: ("our page", 404))
    app.add_url_rule("/missing", "missing", lambda: abort(404))


@CASES.add(NOTHING, path="/form")
def quiet_bad_form(app: Flask, fault: Fault) -> None:
    app.add_url_rule("/form", "form", lambda: flask.request.form["absent"])


@CASES.add(NOTHING, path="/caught")
def quiet_caught(app: Flask, fault: Fault) -> None:
    def caught() -> str:
        try:
            fault_site(fault)
        except ValueError:
            logging.getLogger("shop").info("never mind")
            return "fine"

    app.add_url_rule("/caught", "caught", caught)


@CASES.add(NOTHING, path="/ok")
def quiet_fallback(app: Flask, fault: Fault) -> None:
    app.wsgi_app = FallsBack(app.wsgi_app)


@CASES.add(NOTHING, path="/stream", hang_up=1)
def quiet_hang_up(app: Flask, fault: Fault) -> None:
    app.add_url_rule("/stream", "stream", lambda: parts(fault, 3))


@CASES.add(NOTHING, path="/stream")
def quiet_stream(app: Flask, fault: Fault) -> None:
    app.add_url_rule("/stream", "stream", lambda: iter(["one", "two"]))


@CASES.add(NOTHING, path="/static/absent.css")
def quiet_static(app: Flask, fault: Fault) -> None:
    view_named_home(app, fault)


@CASES.add(NOTHING, path="/file")
def quiet_file(app: Flask, fault: Fault) -> None:
    def file() -> flask.Response:
        return flask.send_file(__file__, mimetype="text/plain", etag=False, last_modified=1)

    app.add_url_rule("/file", "file", file)


@CASES.add(replace(NOTHING, status="ERROR"), path="/maintenance")
def quiet_503(app: Flask, fault: Fault) -> None:
    app.add_url_rule("/maintenance", "maintenance", lambda: ("later", 503))
