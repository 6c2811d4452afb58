"""Cases: views and their hooks, blueprints' too."""

from __future__ import annotations

from dataclasses import replace

import flask
import flask.views
from flask import Blueprint, Flask
from werkzeug.exceptions import Forbidden, ServiceUnavailable, Unauthorized

from contract.expect import ESCAPED, HANDLED, LATE
from contract.faults import BASE, CALM, HOSTILE, Fault, fault_site, named
from flask_case import CASES

HOOK = replace(ESCAPED, kind="hook")
VIEW = replace(ESCAPED, kind="view")
TEARDOWN = replace(LATE, kind="hook", phase="teardown_request")


def http(cls: type[Exception]) -> Fault:
    """Return an exception of werkzeug as a fault."""
    return Fault(cls.__name__, cls, cls, str(cls()))


def view_named_home(app: Flask, fault: Fault) -> None:
    """Add a view that raises."""

    def home() -> str:
        fault_site(fault)

    app.add_url_rule("/", "home", home)


@CASES.add(replace(VIEW, layer="view_named_home.home"))
def view(app: Flask, fault: Fault) -> None:
    view_named_home(app, fault)


CASES.vary(CALM + HOSTILE + BASE, of="view")


@CASES.add(VIEW, config={"TESTING": True})
def view_testing(app: Flask, fault: Fault) -> None:
    view_named_home(app, fault)


CASES.vary(BASE + HOSTILE, of="view_testing")


@CASES.add(VIEW, config={"DEBUG": True})
def view_debug(app: Flask, fault: Fault) -> None:
    view_named_home(app, fault)


@CASES.add(VIEW, config={"PROPAGATE_EXCEPTIONS": True})
def view_propagated(app: Flask, fault: Fault) -> None:
    view_named_home(app, fault)


@CASES.add(replace(VIEW, layer="view_async.waiting"))
def view_async(app: Flask, fault: Fault) -> None:
    async def waiting() -> str:
        fault_site(fault)

    app.add_url_rule("/", "home", waiting)


@CASES.add(VIEW)
def view_of_class(app: Flask, fault: Fault) -> None:
    class Home(flask.views.MethodView):
        def get(self) -> str:
            fault_site(fault)

    app.add_url_rule("/", "home", view_func=Home.as_view("home"))


@CASES.add(VIEW)
def view_template(app: Flask, fault: Fault) -> None:
    def home() -> str:
        return flask.render_template_string("{{ broken() }}", broken=lambda: fault_site(fault))

    app.add_url_rule("/", "home", home)


@CASES.add(VIEW, fault=http(ServiceUnavailable))
def view_aborts_503(app: Flask, fault: Fault) -> None:
    view_named_home(app, fault)


@CASES.add(replace(VIEW, also=("ZeroDivisionError",)))
def view_then_after_request(app: Flask, fault: Fault) -> None:
    def stumble(response: flask.Response) -> flask.Response:
        raise ZeroDivisionError("second")

    app.after_request(stumble)
    view_named_home(app, fault)


@CASES.add(
    replace(VIEW, also=("ZeroDivisionError",)),
    with_stock=replace(VIEW, also=("ZeroDivisionError",)),
)
def view_then_teardown(app: Flask, fault: Fault) -> None:
    def stumble(error: BaseException | None) -> None:
        raise ZeroDivisionError("second")

    app.teardown_request(stumble)
    view_named_home(app, fault)


@CASES.add(replace(HOOK, phase="before_request"))
def before_request(app: Flask, fault: Fault) -> None:
    app.before_request(lambda: fault_site(fault))


CASES.vary(BASE + HOSTILE, of="before_request")


@CASES.add(replace(HANDLED, kind="hook", phase="before_request"), fault=http(Unauthorized))
def before_request_aborts_401(app: Flask, fault: Fault) -> None:
    app.before_request(lambda: fault_site(fault))


@CASES.add(HOOK)
def before_request_async(app: Flask, fault: Fault) -> None:
    async def check() -> None:
        fault_site(fault)

    app.before_request(check)


@CASES.add(HOOK)
def before_request_object(app: Flask, fault: Fault) -> None:
    class Check:
        def __call__(self) -> None:
            fault_site(fault)

    app.before_request(Check())


@CASES.add(replace(HOOK, layer="Auth.check"))
def before_request_method(app: Flask, fault: Fault) -> None:
    app.before_request(Auth(fault).check)


class Auth:
    """An extension, as they are written."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault

    def check(self) -> None:
        fault_site(self.fault)


@CASES.add(replace(HOOK, phase="after_request"))
def after_request(app: Flask, fault: Fault) -> None:
    app.after_request(lambda response: fault_site(fault))


CASES.vary(BASE, of="after_request")


@CASES.add(replace(HOOK, phase="after_request"), path="/nowhere")
def after_request_of_404(app: Flask, fault: Fault) -> None:
    app.after_request(lambda response: fault_site(fault))


@CASES.add(HOOK, path="/after")
def after_this_request(app: Flask, fault: Fault) -> None:
    def after() -> str:
        flask.after_this_request(lambda response: fault_site(fault))
        return "fine"

    app.add_url_rule("/after", "after", after)


@CASES.add(replace(HOOK, phase="teardown_request"), either=True)
def teardown_request(app: Flask, fault: Fault) -> None:
    app.teardown_request(lambda error: fault_site(fault))


CASES.vary(BASE + named("str_raises"), of="teardown_request")


@CASES.add(replace(HOOK, phase="teardown_appcontext"), with_stock=replace(LATE, kind="hook"))
def teardown_appcontext(app: Flask, fault: Fault) -> None:
    app.teardown_appcontext(lambda error: fault_site(fault))


@CASES.add(replace(HOOK, also=("ZeroDivisionError",)), either=True)
def teardown_both(app: Flask, fault: Fault) -> None:
    """The one that leaves the app is the second."""

    def stumble(error: BaseException | None) -> None:
        raise ZeroDivisionError("first")

    app.teardown_request(stumble)
    app.teardown_appcontext(lambda error: fault_site(fault))


@CASES.add(replace(HOOK, phase="url_value_preprocessor"))
def url_value_preprocessor(app: Flask, fault: Fault) -> None:
    app.url_value_preprocessor(lambda endpoint, values: fault_site(fault))


@CASES.add(replace(HOOK, phase="url_defaults"), path="/link")
def url_defaults(app: Flask, fault: Fault) -> None:
    app.url_defaults(lambda endpoint, values: fault_site(fault))
    app.add_url_rule("/link", "link", lambda: flask.url_for("home"))


@CASES.add(replace(HOOK, phase="context_processor"), path="/page")
def context_processor(app: Flask, fault: Fault) -> None:
    app.context_processor(lambda: fault_site(fault))
    app.add_url_rule("/page", "page", lambda: flask.render_template_string("x"))


def with_part(app: Flask, part: Blueprint) -> None:
    part.add_url_rule("/part", "view", lambda: "fine")
    app.register_blueprint(part)


@CASES.add(replace(HOOK, phase="before_request"), path="/part")
def blueprint_before_request(app: Flask, fault: Fault) -> None:
    part = Blueprint("part", __name__)
    part.before_request(lambda: fault_site(fault))
    with_part(app, part)


@CASES.add(replace(HANDLED, kind="hook"), path="/part", fault=http(Forbidden))
def blueprint_before_request_aborts_403(app: Flask, fault: Fault) -> None:
    part = Blueprint("part", __name__)
    part.before_request(lambda: fault_site(fault))
    with_part(app, part)


@CASES.add(HOOK, path="/part")
def blueprint_before_app_request(app: Flask, fault: Fault) -> None:
    part = Blueprint("part", __name__)
    part.before_app_request(lambda: fault_site(fault))
    with_part(app, part)


@CASES.add(replace(HOOK, phase="after_request"), path="/part")
def blueprint_after_request(app: Flask, fault: Fault) -> None:
    part = Blueprint("part", __name__)
    part.after_request(lambda response: fault_site(fault))
    with_part(app, part)


@CASES.add(replace(HOOK, phase="teardown_request"), path="/part", either=True)
def blueprint_teardown_request(app: Flask, fault: Fault) -> None:
    part = Blueprint("part", __name__)
    part.teardown_request(lambda error: fault_site(fault))
    with_part(app, part)


@CASES.add(replace(HOOK, phase="url_value_preprocessor"), path="/part")
def blueprint_url_value_preprocessor(app: Flask, fault: Fault) -> None:
    part = Blueprint("part", __name__)
    part.url_value_preprocessor(lambda endpoint, values: fault_site(fault))
    with_part(app, part)
