"""What WSGI layers and hooks raise and handle by themselves, where the monitor is on."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from types import FrameType
from typing import Any

from flask import Flask

from everylayer import monitor
from everylayer.chain import drop_frame
from everylayer.failsafe import contained
from everylayer.layers import Layer, name_of
from everylayer.observer import observe
from everylayer.sighting import SWALLOWED
from everylayer.wsgi_types import Environ, StartResponse, WSGIApp

from . import request, stock
from .naming import FlaskRules, client_status
from .rules import Rules


@contained
def watch(rules: Rules, layers: Iterable[Any]) -> None:
    """Watch `layers`, outermost first, and none that were watched for `rules` before."""
    monitor.leave(rules)
    if not monitor.wanted(rules.settings):
        return
    own = [layer for layer in layers if not stock.is_stock(layer)]
    for index, made in enumerate(own):
        layer = Layer(name_of(made), "middleware", index)
        monitor.watch(rules, layer, monitor.codes_of_layer(made), _show)


def watch_hooks_once(entry: request.Entry, app: Flask) -> None:
    """Watch the app's hooks from the first request on, before which they are registered."""
    rules = entry.rules
    if not isinstance(rules, FlaskRules) or not monitor.wanted(rules.settings):
        return
    run, found = entry.run, weakref.ref(app)

    def first(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if entry.run is first:
            entry.run = run
            _watch_hooks(rules)
        app = found()
        try:
            return (run or _own(entry, app))(environ, start_response)
        except BaseException as exc:
            drop_frame(exc)
            raise

    entry.run = first


def _own(entry: request.Entry, app: Flask | None) -> WSGIApp:
    return lambda environ, start_response: entry.own(app, environ, start_response)


@contained
def _watch_hooks(rules: FlaskRules) -> None:
    for hook in rules.hooks():
        monitor.watch(rules, Layer(name_of(hook), "hook"), monitor.codes_of_layer(hook), _show)


def _show(exc: BaseException, layer: Layer, frame: FrameType) -> None:
    current = request.around()
    ledger = None if current is None else current.ledger()
    observe(exc, layer, SWALLOWED, ledger=ledger, client_status=client_status(exc))
