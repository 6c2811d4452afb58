"""The service between, Flask: asks the stock, and has an error of its own for its failure."""

from __future__ import annotations

import os
from typing import Any

import requests
from flask import Flask, request
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor

import envoy_spans
from everylayer.clients import requests as everylayer_requests
from everylayer_flask import EveryLayer

envoy_spans.write()


class NoStock(Exception):
    """Nobody knows what is there."""


session = everylayer_requests.attach(requests.Session())
session.trust_env = False
RequestsInstrumentor().instrument()
app = Flask(__name__)


@app.get("/<what>")
def order(what: str) -> Any:
    answer = session.get(f"{os.environ['NEXT']}/{what}", timeout=20)
    if answer.status_code >= 500:
        raise NoStock(what)
    return {"kept": request.headers.get("x-kept"), "inner": answer.json()}


@app.errorhandler(NoStock)
def unavailable(error: NoStock) -> Any:
    return {"error": "no stock"}, 503


EveryLayer(app)
FlaskInstrumentor().instrument_app(app)
