"""What an audit puts into an app that is to deal with its errors by itself.

Flask answers most errors before any WSGI layer could see them, so users deal with them at two
places, and both are used: a handler for Exception, and a layer around the app. The handler is not
registered where the app has one of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from flask import Flask
from werkzeug.exceptions import HTTPException

from everylayer.audit.injected import Translated
from everylayer.audit.model import Shape
from everylayer.wsgi_types import Environ, StartResponse, WSGIApp

_TEXT = [("Content-Type", "text/plain; charset=utf-8")]
_ANSWER = "swallowed"


class Swallows:
    """Answers 200 to any Exception."""

    def __init__(self, app: WSGIApp) -> None:
        self._app = app

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        try:
            return self._app(environ, start_response)
        except Exception:  # noqa: BLE001 - that is what it is for
            start_response("200 OK", _TEXT, sys.exc_info())
            return [_ANSWER.encode()]


class Translates:
    """Raises another exception from any Exception."""

    def __init__(self, app: WSGIApp) -> None:
        self._app = app

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        try:
            return self._app(environ, start_response)
        except Translated:
            raise
        except Exception as exc:
            raise Translated(_told(exc)) from exc


def swallow(error: Exception) -> Any:
    """Answer 200, but leave to Flask what are answers already."""
    return error if isinstance(error, HTTPException) else (_ANSWER, 200)


def translate(error: Exception) -> Any:
    """Raise another error from it, with the same exception."""
    if isinstance(error, HTTPException):
        return error
    raise Translated(_told(error)) from error


def shaped(served: WSGIApp, apps: Iterable[Flask], shape: Shape) -> WSGIApp:
    """Return `served`, of which `apps` are the Flask apps, as `shape` asks."""
    if shape == "raised":
        return served
    layer = Swallows if shape == "swallowed" else Translates
    handler = swallow if shape == "swallowed" else translate
    for app in apps:
        app.error_handler_spec[None][None].setdefault(Exception, handler)
    if isinstance(served, Flask):
        served.wsgi_app = layer(served.wsgi_app)  # type: ignore[method-assign]
        return served
    return layer(served)


def _told(error: Exception) -> str:
    return f"translated from {type(error).__name__}"
