"""What entries of MIDDLEWARE raise and handle by themselves, where the monitor is on."""

from __future__ import annotations

from types import FrameType

from django.http import HttpRequest

from everylayer import monitor
from everylayer.failsafe import contained
from everylayer.layers import Layer, name_of
from everylayer.observer import observe
from everylayer.sighting import SWALLOWED

from . import config
from .locate import Place, layers
from .requests import MARK, client_status, see


class _Chain:
    """Stands for the chains of this process: they are all of one MIDDLEWARE."""


_chain = _Chain()


@contained
def watch() -> None:
    """Watch what MIDDLEWARE names, as the settings in force say."""
    leave()
    if monitor.wanted(config.current()):
        for index, made in enumerate(layers()):
            layer = Layer(name_of(made), "middleware", index)
            monitor.watch(_chain, layer, monitor.codes_of_layer(made), _show)


def leave() -> None:
    """Watch no more."""
    monitor.leave(_chain)


def _show(exc: BaseException, layer: Layer, frame: FrameType) -> None:
    request = _request_of(frame)
    if request is None:
        observe(exc, layer, SWALLOWED, client_status=client_status(exc))
    else:
        see(request, exc, Place(layer, SWALLOWED))


def _request_of(frame: FrameType | None) -> HttpRequest | None:
    """Return the request, from the nearest frame outwards that works on one."""
    while frame is not None:
        found = frame.f_locals.get("request")
        if issubclass(type(found), HttpRequest) and MARK in vars(found):
            return found
        frame = frame.f_back
    return None
