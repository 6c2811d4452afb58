"""Cases: error handlers, sessions, signals, converters, responses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NoReturn

import flask
from flask import Flask
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from werkzeug.exceptions import BadGateway, Forbidden, HTTPException, InternalServerError, NotFound
from werkzeug.routing import BaseConverter

from contract.expect import ESCAPED, HANDLED, LATE
from contract.faults import BASE, PLAIN, Fault, fault_site, named
from flask_case import CASES
from flask_cases_hooks import HOOK, VIEW, http, view_named_home

SECOND = "ZeroDivisionError"


@CASES.add(replace(HANDLED, kind="view"))
def handler_answers_200(app: Flask, fault: Fault) -> None:
    app.register_error_handler(ValueError, lambda error: "sorry")
    view_named_home(app, fault)


CASES.vary(named("cause", "context", "multi_line", "surrogates"), of="handler_answers_200")


@CASES.add(replace(HANDLED, kind="view"))
def handler_answers_404(app: Flask, fault: Fault) -> None:
    app.register_error_handler(ValueError, lambda error: ("no such thing", 404))
    view_named_home(app, fault)


@CASES.add(VIEW)
def handler_answers_502(app: Flask, fault: Fault) -> None:
    app.register_error_handler(ValueError, lambda error: ("sorry", 502))
    view_named_home(app, fault)


@CASES.add(replace(VIEW, also=(SECOND,)))
def handler_raises(app: Flask, fault: Fault) -> None:
    def broken(error: Exception) -> NoReturn:
        raise ZeroDivisionError("in the handler")

    app.register_error_handler(ValueError, broken)
    view_named_home(app, fault)


@CASES.add(VIEW)
def handler_reraises(app: Flask, fault: Fault) -> None:
    def again(error: Exception) -> NoReturn:
        raise error

    app.register_error_handler(ValueError, again)
    view_named_home(app, fault)


@CASES.add(VIEW)
def handler_of_500(app: Flask, fault: Fault) -> None:
    app.register_error_handler(500, lambda error: ("our page", 500))
    view_named_home(app, fault)


@CASES.add(replace(HANDLED, kind="view"))
def handler_of_500_answers_200(app: Flask, fault: Fault) -> None:
    app.register_error_handler(500, lambda error: "all is well")
    view_named_home(app, fault)


@CASES.add(replace(VIEW, also=(SECOND,)))
def handler_of_500_raises(app: Flask, fault: Fault) -> None:
    def broken(error: Exception) -> NoReturn:
        raise ZeroDivisionError("in the handler")

    app.register_error_handler(500, broken)
    view_named_home(app, fault)


@CASES.add(VIEW, fault=http(BadGateway))
def handler_of_http_502(app: Flask, fault: Fault) -> None:
    app.register_error_handler(HTTPException, lambda error: ({"code": error.code}, error.code))
    view_named_home(app, fault)


@CASES.add(VIEW, fault=http(NotFound))
def handler_makes_404_a_500(app: Flask, fault: Fault) -> None:
    app.register_error_handler(404, lambda error: ("broken", 500))
    view_named_home(app, fault)


@CASES.add(replace(HANDLED, kind="hook"), fault=http(Forbidden))
def handler_of_hook_403(app: Flask, fault: Fault) -> None:
    app.register_error_handler(403, lambda error: ("go away", 403))
    app.before_request(lambda: fault_site(fault))


@CASES.add(replace(HANDLED, kind="hook"))
def handler_of_hook(app: Flask, fault: Fault) -> None:
    app.register_error_handler(ValueError, lambda error: "sorry")
    app.before_request(lambda: fault_site(fault))


@CASES.add(VIEW)
def handler_async(app: Flask, fault: Fault) -> None:
    async def page(error: Exception) -> tuple[str, int]:
        return "sorry", 503

    app.register_error_handler(ValueError, page)
    view_named_home(app, fault)


@CASES.add(VIEW, config={"TRAP_HTTP_EXCEPTIONS": True}, fault=http(Forbidden))
def trapped_403(app: Flask, fault: Fault) -> None:
    view_named_home(app, fault)


@CASES.add(VIEW, fault=http(InternalServerError))
def handler_of_500_for_abort(app: Flask, fault: Fault) -> None:
    app.register_error_handler(500, lambda error: ("our page", 500))
    view_named_home(app, fault)


class Sessions(SecureCookieSessionInterface):
    """A session store that fails."""

    def __init__(self, fault: Fault, at: str) -> None:
        self.fault, self.at = fault, at

    def open_session(self, app: Flask, request: flask.Request) -> SecureCookieSession | None:
        if self.at == "open":
            fault_site(self.fault)
        return super().open_session(app, request)

    def save_session(self, app: Flask, session: Any, response: flask.Response) -> None:
        if self.at == "save":
            fault_site(self.fault)
        super().save_session(app, session, response)


@CASES.add(replace(HOOK, layer="Sessions.open_session"))
def session_open(app: Flask, fault: Fault) -> None:
    app.session_interface = Sessions(fault, "open")


CASES.vary(BASE, of="session_open")


@CASES.add(replace(HOOK, layer="Sessions.save_session"))
def session_save(app: Flask, fault: Fault) -> None:
    app.session_interface = Sessions(fault, "save")


@CASES.add(replace(VIEW, also=(SECOND,)))
def session_save_of_failed_view(app: Flask, fault: Fault) -> None:
    second = Fault("second", lambda: ZeroDivisionError("second"), ZeroDivisionError, "second")
    app.session_interface = Sessions(second, "save")
    view_named_home(app, fault)


def receiver(app: Flask, fault: Fault, signal: Any) -> None:
    def received(sender: Flask, **about: Any) -> None:
        if sender is app:
            fault_site(fault)

    # Held by the app: blinker keeps weak references.
    app.extensions["received"] = received
    signal.connect(received, app)


@CASES.add(HOOK)
def signal_request_started(app: Flask, fault: Fault) -> None:
    receiver(app, fault, flask.request_started)


@CASES.add(HOOK)
def signal_request_finished(app: Flask, fault: Fault) -> None:
    receiver(app, fault, flask.request_finished)


@CASES.add(HOOK, with_stock=replace(LATE, kind="hook"))
def signal_request_tearing_down(app: Flask, fault: Fault) -> None:
    receiver(app, fault, flask.request_tearing_down)


@CASES.add(HOOK, with_stock=replace(LATE, kind="hook"))
def signal_appcontext_tearing_down(app: Flask, fault: Fault) -> None:
    receiver(app, fault, flask.appcontext_tearing_down)


@CASES.add(ESCAPED, with_stock=LATE)
def signal_appcontext_popped(app: Flask, fault: Fault) -> None:
    receiver(app, fault, flask.appcontext_popped)


@CASES.add(replace(HOOK, also=(SECOND,)))
def signal_got_request_exception(app: Flask, fault: Fault) -> None:
    def home() -> NoReturn:
        raise ZeroDivisionError("in the view")

    app.add_url_rule("/", "home", home)
    receiver(app, fault, flask.got_request_exception)


@CASES.add(replace(VIEW, also=(SECOND,)))
def signal_request_finished_of_failed_view(app: Flask, fault: Fault) -> None:
    view_named_home(app, fault)
    second = Fault("second", lambda: ZeroDivisionError("second"), ZeroDivisionError, "second")
    receiver(app, second, flask.request_finished)


@CASES.add(ESCAPED, path="/item/7")
def converter(app: Flask, fault: Fault) -> None:
    class Broken(BaseConverter):
        def to_python(self, value: str) -> str:
            fault_site(fault)

    app.url_map.converters["broken"] = Broken
    app.add_url_rule("/item/<broken:item>", "item", lambda item: "fine")


@CASES.add(ESCAPED)
def request_class(app: Flask, fault: Fault) -> None:
    class Request(flask.Request):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            fault_site(fault)

    app.request_class = Request


@CASES.add(ESCAPED)
def response_class(app: Flask, fault: Fault) -> None:
    class Response(flask.Response):
        def get_wsgi_headers(self, environ: Any) -> Any:
            fault_site(fault)

    app.response_class = Response


@CASES.add(ESCAPED)
def view_returns_nothing(app: Flask, fault: Fault) -> None:
    class Response(flask.Response):
        @classmethod
        def force_type(cls, *args: Any) -> Any:
            fault_site(fault)

    app.response_class = Response
    app.add_url_rule("/", "home", lambda: HTTPException())


@CASES.add(ESCAPED)
def subclass_dispatch(app: Flask, fault: Fault) -> None:
    app.dispatch_request = lambda: fault_site(fault)  # type: ignore[method-assign]


@CASES.add(ESCAPED)
def subclass_log_exception(app: Flask, fault: Fault) -> None:
    app.log_exception = lambda exc_info: fault_site(PLAIN)  # type: ignore[method-assign]
    app.add_url_rule("/", "home", lambda: "fine")
    app.before_request(lambda: None)
    app.dispatch_request = lambda: fault_site(fault)  # type: ignore[method-assign]


@CASES.add(replace(HANDLED, kind="view"))
def error_router(app: Flask, fault: Fault) -> None:
    """An extension that puts its own handler in the app's place, as Flask-RESTful does."""
    inner = app.handle_user_exception

    def route(error: Exception) -> Any:
        return ("routed", 200) if type(error) is ValueError else inner(error)

    app.handle_user_exception = route  # type: ignore[method-assign]
    view_named_home(app, fault)
