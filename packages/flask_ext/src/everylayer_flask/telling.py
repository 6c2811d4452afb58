"""What a response has to do with an error: the one that it answers, and what it tells of it."""

from __future__ import annotations

import functools
import sys
from types import CodeType, FrameType

import flask
from werkzeug.wrappers import Response

from everylayer.chain import traceback_of
from everylayer.ledger import Ledger
from everylayer.wsgi import telling


def answered(outermost: CodeType) -> BaseException | None:
    """Return the exception whose `except` block, within this request, starts the response.

    Args:
        outermost: code of the request's outermost frame.
    """
    exc = sys.exc_info()[1]
    tb = None if exc is None else traceback_of(exc)
    if tb is None:
        return None
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code is not outermost:
        if frame is tb.tb_frame:
            return exc
        frame = frame.f_back
    return None


def tell_in_response(ledger: Ledger) -> None:
    """Have the response of Flask's that answers the current request tell of its errors.

    Where no layer may change that response nobody of ours stands at its start, so that a request
    that works pays for nothing.
    """
    if flask.has_request_context():
        flask.after_this_request(functools.partial(_told, ledger))


def _told(ledger: Ledger, response: Response) -> Response:
    if isinstance(response, Response):
        headers = telling(ledger, response.status, response.headers.items())
        if headers is not None:
            name, value = headers[-1]
            response.headers[name] = value
    return response
