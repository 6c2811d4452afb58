"""Apps whose chains the audit is to read; each answers GET /."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import flask
from flask.app import Flask
from flask.sessions import SecureCookieSessionInterface
from flask.views import MethodView, View
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

from everylayer_flask import EveryLayer
from flask_layers import GeneratorThrough, SlottedThrough, Through


class Sessions(SecureCookieSessionInterface):
    def open_session(self, app: Any, request: Any) -> Any:
        return super().open_session(app, request)

    def save_session(self, app: Any, session: Any, response: Any) -> None:
        super().save_session(app, session, response)


class Greeter:
    """Its instances, and their methods, are hooks."""

    def __call__(self) -> None:
        self.greeted = True

    def stamp(self, response: Any) -> Any:
        response.headers["X-Greeted"] = "yes"
        return response


def checked(view: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(view)
    def check(*args: Any, **named: Any) -> Any:
        return view(*args, **named)

    return check


def plain(path: str = "/") -> Any:
    app = flask.Flask("shop")
    app.secret_key = "for tests only"

    @app.get(path)
    def home() -> str:
        return "home"

    return app


def hooked() -> Any:
    app = plain()
    app.session_interface = Sessions()
    greeter = Greeter()

    @app.url_value_preprocessor
    def prepare(endpoint: str | None, values: Any) -> None:
        flask.g.prepared = endpoint

    @app.before_request
    @checked
    def authenticate() -> None:
        flask.g.user = "me"

    @app.before_request
    @checked
    def authorize() -> None:
        flask.g.allowed = True

    @app.before_request
    async def warm_up() -> None:
        flask.g.warm = True

    def limit(most: int) -> None:
        flask.g.most = most

    @app.teardown_request
    def hang_up(error: BaseException | None) -> None:
        flask.g.pop("user", None)

    @app.teardown_appcontext
    def disconnect(error: BaseException | None) -> None:
        flask.g.pop("most", None)

    @app.errorhandler(LookupError)
    def missing(error: Exception) -> Any:
        return "missing", 503

    @app.get("/missing")
    def lost() -> Any:
        raise LookupError("lost")

    app.before_request(greeter)
    app.before_request(functools.partial(limit, 3))
    app.after_request(greeter.stamp)
    return app


def signalled() -> Any:
    app = plain()

    def on_push(sender: Any, **about: Any) -> None: ...
    def on_start(sender: Any, **about: Any) -> None: ...
    def on_finish(sender: Any, **about: Any) -> None: ...
    def on_teardown(sender: Any, **about: Any) -> None: ...
    def on_pop(sender: Any, **about: Any) -> None: ...
    def on_gone(sender: Any, **about: Any) -> None: ...

    flask.appcontext_pushed.connect(on_push, app, weak=False)
    flask.request_started.connect(on_start, app, weak=False)
    flask.request_finished.connect(on_finish, app, weak=False)
    flask.request_tearing_down.connect(on_teardown, app, weak=False)
    flask.appcontext_tearing_down.connect(on_pop, app, weak=False)
    flask.appcontext_popped.connect(on_gone, app, weak=False)
    return app


def of_blueprints() -> Any:
    app = flask.Flask("shop")
    admin, users = flask.Blueprint("admin", __name__), flask.Blueprint("users", __name__)

    @admin.before_request
    def only_admins() -> None: ...

    @users.before_request
    def only_users() -> None: ...

    @users.after_request
    def stamp(response: Any) -> Any:
        return response

    @users.teardown_request
    def log_out(error: BaseException | None) -> None: ...

    @users.get("/")
    @checked
    def listing() -> str:
        return "users"

    @admin.get("/admin")
    def overview() -> str:
        return "overview"

    admin.register_blueprint(users)
    app.register_blueprint(admin)
    return app


def of_classes() -> Any:
    app = flask.Flask("shop")

    class Items(MethodView):
        def get(self) -> str:
            return "items"

        def post(self) -> str:
            return "made"

    class Page(View):
        def dispatch_request(self) -> str:
            return "page"

    class Checked(MethodView):
        decorators = (checked,)

        def get(self) -> str:
            return "checked"

    app.add_url_rule("/", view_func=Items.as_view("items"))
    app.add_url_rule("/page", view_func=Page.as_view("page"))
    app.add_url_rule("/checked", view_func=Checked.as_view("checked"))
    return app


def of_one_factory() -> Any:
    """Two views with the same code."""
    app = flask.Flask("shop")

    def make(text: str) -> Callable[[], str]:
        def view() -> str:
            return text

        return view

    app.add_url_rule("/other", "other", make("other"))
    app.add_url_rule("/", "home", make("home"))
    return app


def asynchronous() -> Any:
    app = flask.Flask("shop")

    @app.get("/")
    async def home() -> str:
        return "home"

    return app


def streaming() -> Any:
    app = flask.Flask("shop")

    @app.get("/")
    def home() -> Iterator[str]:
        yield "ho"
        yield "me"

    return app


class Watches(Through):
    """Has a `start_response` of its own, and a body."""

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        def started(status: str, headers: Any, *rest: Any) -> Any:
            return start_response(status, headers, *rest)

        return WatchedBody(self.app(environ, started))


class WatchedBody:
    def __init__(self, body: Iterable[bytes]) -> None:
        self.body = body
        self.chunks = iter(body)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self.chunks)

    def close(self) -> None:
        close = getattr(self.body, "close", None)
        if close is not None:
            close()


def closure(inner: Any) -> Any:
    def layer(environ: Any, start_response: Any) -> Any:
        return inner(environ, start_response)

    return layer


def chunked(inner: Any) -> Any:
    def layer(environ: Any, start_response: Any) -> Any:
        def chunks() -> Iterator[bytes]:
            yield from inner(environ, start_response)

        return chunks()

    return layer


def parted(inner: Any, environ: Any, start_response: Any) -> Any:
    return inner(environ, start_response)


class Bound:
    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def handle(self, environ: Any, start_response: Any) -> Any:
        return self.inner(environ, start_response)


def layered() -> Any:
    app = plain()
    app.wsgi_app = ProxyFix(app.wsgi_app)
    app.wsgi_app = closure(app.wsgi_app)
    app.wsgi_app = functools.partial(parted, app.wsgi_app)
    app.wsgi_app = Bound(app.wsgi_app).handle
    app.wsgi_app = SlottedThrough(app.wsgi_app)
    app.wsgi_app = chunked(app.wsgi_app)
    app.wsgi_app = GeneratorThrough(app.wsgi_app)
    app.wsgi_app = Watches(app.wsgi_app)
    return app


def wrapped() -> Any:
    app = hooked()
    app.wsgi_app = Through(app.wsgi_app)
    return Watches(closure(app))


def mounted() -> Any:
    admin = of_blueprints()
    admin.wsgi_app = Through(admin.wsgi_app)
    return closure(DispatcherMiddleware(plain(), {"/admin": admin, "/raw": closure(plain())}))


def instrumenting() -> Any:
    """Instruments itself."""
    app = plain()
    FlaskInstrumentor().instrument_app(app)
    EveryLayer(app)
    return app


def imported_early() -> Any:
    """Was made from the class that stock does not replace."""
    app = Flask("shop")
    app.add_url_rule("/", "home", lambda: "home")
    return app
