"""The methods of a server: which there are, and what is to be sent to one."""

from __future__ import annotations

import binascii
import difflib
import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from everylayer.audit.failing import describe
from everylayer.audit.model import Request
from everylayer.audit.wire import TargetError

# Services that every server may have, and nobody means.
_ASIDE = ("grpc.health.", "grpc.reflection.", "grpc.channelz.")


@dataclass(frozen=True)
class Details:
    """What a generic handler is asked for."""

    method: str
    invocation_metadata: tuple[Any, ...] = ()


def methods_of(handlers: Iterable[Any]) -> dict[str, Any]:
    """Return the handlers of all methods that are listed, by their full name."""
    found: dict[str, Any] = {}
    for generic in handlers:
        # A handler of the app's own class need not list its methods.
        listed = getattr(generic, "_method_handlers", None)
        if isinstance(listed, Mapping):
            for name, handler in listed.items():
                found.setdefault(str(name), handler)
    return found


def handler_of(handlers: Iterable[Any], method: str) -> Any:
    """Return the handler of `method`, None if there is none."""
    for generic in handlers:
        found = generic.service(Details(method))
        if found is not None:
            return found
    return None


def completed(request: Request, handlers: list[Any]) -> Request:
    """Return `request` as an RPC: the first method if it names none, and at least one message.

    Raises:
        TargetError: there is no such method, or a message cannot be read.
    """
    methods = methods_of(handlers)
    path = request.path
    if path == "/":
        usual = [name for name in methods if not name[1:].startswith(_ASIDE)]
        unary = [name for name in usual if not methods[name].response_streaming]
        path = next(iter([*unary, *usual, *methods]), "")
        if not path:
            raise TargetError("the server lists no methods: name one with --rpc SERVICE/METHOD")
    elif handler_of(handlers, path) is None:
        close = difflib.get_close_matches(path, methods, n=3, cutoff=0.4) or list(methods)[:8]
        listed = ", ".join(name[1:] for name in close) or "none that is listed"
        raise TargetError(f"the server has no method {path[1:]}; there is {listed}")
    # A path alone is one for HTTP's GET until here.
    return replace(request, method="POST", path=path, messages=request.messages or ("hex:",))


def encoded(message: str, handler: Any) -> bytes:
    """Return what a client would send of `message`.

    JSON is made the method's own message where that is one of protobuf's.

    Raises:
        TargetError: it cannot be read.
    """
    if message.startswith("@"):
        try:
            return Path(message[1:]).read_bytes()
        except OSError as error:
            raise TargetError(f"--message {message} cannot be read: {error.strerror}") from error
    if message.startswith("hex:"):
        try:
            return binascii.unhexlify("".join(message[4:].split()))
        except binascii.Error as error:
            raise TargetError(f"--message {message[:60]!r} is not hexadecimal: {error}") from error
    kind = getattr(handler.request_deserializer, "__self__", None)
    if kind is None or not hasattr(kind, "DESCRIPTOR"):
        return message.encode()
    try:
        # Of the package that made the class; it has no types.
        parse: Any = importlib.import_module("google.protobuf.json_format").Parse
        made: bytes = parse(message, kind()).SerializeToString()
    except Exception as error:
        name = getattr(kind, "__name__", "message")
        raise TargetError(f"--message is no {name} in JSON: {describe(error)}") from error
    return made
