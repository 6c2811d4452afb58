"""The parts of a chain at its end: services and their methods."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from typing import Any

import grpc

from everylayer.audit.callables import where
from everylayer.audit.lent import lend
from everylayer.audit.parts import Part, Points, attempted
from everylayer.audit.points import OfOne
from everylayer.faults.code import CodePoint
from everylayer.faults.point import Switch
from everylayer.layers import codes_of, name_of

from ..handlers import Kind, behavior_of, kind_of, with_behavior
from .methods import methods_of


class Streaming(grpc.GenericRpcHandler):
    """Answers for methods that stream, each with a place after its first message."""

    def __init__(self, handlers: list[Any]) -> None:
        self._made = {
            name: (switch, streaming)
            for name, handler in methods_of(handlers).items()
            if handler.response_streaming
            for switch, streaming in [_streaming(handler)]
            if streaming is not None
        }

    def service(self, handler_call_details: Any) -> Any:
        switch, handler = self._made.get(handler_call_details.method, (None, None))
        return handler if switch is not None and switch.armed else None

    def switch(self, method: str) -> Switch | None:
        """Return the place in `method`, None where there is none."""
        return self._made.get(method, (None, None))[0]


def service_parts(handlers: list[Any], streaming: Streaming) -> list[Part]:
    """Return a part for each service, with its methods in it."""
    services: dict[str, Part] = {}
    for method, handler in methods_of(handlers).items():
        service, _, name = method.lstrip("/").rpartition("/")
        mount = services.setdefault(service, Part(service, "mount"))
        make = functools.partial(_part, method, handler, streaming)
        mount.inner.append(attempted(make, behavior_of(handler), "endpoint", f"method {name}"))
    for mount in services.values():
        modes = {part.mode for part in mount.inner}
        mount.mode = "both" if len(modes) > 1 else modes.pop()
    return list(services.values())


def _part(method: str, handler: Any, streaming: Streaming) -> Part:
    behavior = behavior_of(handler)
    target = behavior
    while isinstance(target, functools.partial):
        target = target.func
    layer = target if inspect.ismethod(target) else inspect.unwrap(target)
    codes = tuple(codes_of(target))
    points: Points = {}
    if codes:
        points["before"] = OfOne(CodePoint(codes, "start"), codes, layer)
        points["after"] = OfOne(CodePoint(codes, "return"), codes, layer)
    switch = streaming.switch(method)
    if switch is not None:
        points["stream"] = switch
    mode = "sync" if kind_of(behavior) is Kind.PLAIN else "async"
    way = f"a probe around {method.rpartition('/')[2]}, {_kind(handler)}"
    return Part(name_of(behavior), "endpoint", where(target), mode, way, points)


def _kind(handler: Any) -> str:
    taken, given = ("stream" if each else "unary" for each in handler[:2])
    return f"{taken} to {given}"


def _streaming(handler: Any) -> tuple[Switch, Any]:
    switch = Switch()
    behavior = behavior_of(handler)
    kind = kind_of(behavior)
    if kind is Kind.COROUTINE or hasattr(behavior, "experimental_non_blocking"):
        return switch, None  # It writes by its context.
    messages = _messages_async if kind is Kind.GENERATOR else _messages
    name = name_of(behavior)
    made = lend(messages(behavior, switch), name, str(getattr(behavior, "__module__", name)))
    return switch, with_behavior(handler, made, behavior)


def _messages(behavior: Any, switch: Switch) -> Any:
    def messages(request: Any, context: Any) -> Iterator[Any]:
        for message in behavior(request, context):
            yield message
            switch.reached()

    return messages


def _messages_async(behavior: Any, switch: Switch) -> Any:
    async def messages(request: Any, context: Any) -> Any:
        async for message in behavior(request, context):
            yield message
            switch.reached()

    return messages
