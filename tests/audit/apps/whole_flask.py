"""A Flask app with layers that hide errors, start a response twice, and authenticate too early."""

from __future__ import annotations

from typing import Any

from flask import Flask

app = Flask(__name__)


class Authentication:
    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return self.inner(environ, start_response)


class Recovery:
    """Answers as if nothing had been, even where the response has started."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __call__(self, environ: Any, start_response: Any) -> Any:
        try:
            return self.inner(environ, start_response)
        except Exception:
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"sorry"]


class Tenant(Authentication):
    def __call__(self, environ: Any, start_response: Any) -> Any:
        return self.inner(environ, start_response)


@app.before_request
def check() -> None:
    return None


@app.teardown_request
def release(error: BaseException | None) -> None:
    return None


@app.route("/")
def index() -> str:
    return "index"


@app.route("/other")
def other() -> str:
    return "other"


@app.route("/private")
def private() -> Any:
    return "who are you?", 401


app.wsgi_app = Tenant(app.wsgi_app)  # type: ignore[method-assign]
app.wsgi_app = Recovery(app.wsgi_app)  # type: ignore[method-assign]
app.wsgi_app = Authentication(app.wsgi_app)  # type: ignore[method-assign]
