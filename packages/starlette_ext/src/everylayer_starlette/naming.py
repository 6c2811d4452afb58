"""Which layer of a Starlette or FastAPI app an error began in, and what status it stands for."""

from __future__ import annotations

from collections.abc import Iterator
from types import CodeType, FrameType, TracebackType
from typing import Any

from starlette.exceptions import HTTPException
from starlette.middleware.base import BaseHTTPMiddleware

from everylayer.layers import MACHINERY, Layer, LayerMap, every_code_of, name_of
from everylayer.memo import Memo
from everylayer.text import class_name, one_line

# What the frameworks answer these with; asked by name, so that FastAPI need not be there.
_ANSWERS = {
    "starlette.authentication.AuthenticationError": 400,
    "starlette.exceptions.WebSocketException": 403,
    "fastapi.exceptions.RequestValidationError": 422,
    "fastapi.exceptions.WebSocketRequestValidationError": 403,
}
# IANA's codes that close a socket for a failure of the server's; the others refuse the client.
_FAILED = range(1011, 1015)
_ANSWERING = frozenset(name.rpartition(".")[2] for name in _ANSWERS)

_MACHINERY = MACHINERY | {"everylayer_starlette", "fastapi", "starlette"}
# Functions of the frameworks that call the app's own: what the next foreign frame is.
_CALLS = {
    ("starlette.routing", "app"): "view",
    ("starlette.endpoints", "dispatch"): "view",
    ("starlette.endpoints", "handler"): "view",
    ("starlette.responses", "stream_response"): "view",
    ("starlette.background", "__call__"): "app",
    ("fastapi.routing", "app"): "view",
    ("fastapi.routing", "run_endpoint_function"): "view",
    ("fastapi.routing", "_run_sync_endpoint"): "view",
    ("fastapi.dependencies.utils", "solve_dependencies"): "hook",
    ("fastapi.dependencies.utils", "_solve_generator"): "hook",
    ("contextlib", "__aexit__"): "exit",
    ("starlette._exception_handler", "wrapped_app"): "handler",
    ("starlette.middleware.errors", "__call__"): "handler",
}
_APP = ("scope", "receive", "send")
# What else a frame may be: a layer's own, and one of the app's.
_LAYER, _APPS = "middleware", "app's"
_Part = tuple[str, str]
_MAX_PARTS = 2048
# Part of every app: what passes them began elsewhere.
_CORE_MIDDLEWARE = (".errors", ".exceptions", ".opentelemetry")


def client_status(exc: BaseException) -> int | None:
    """Return the 3xx or 4xx status that Starlette or FastAPI gives `exc`, None for a failure."""
    if issubclass(type(exc), HTTPException):
        status = getattr(exc, "status_code", None)
        return status if isinstance(status, int) and 300 <= status < 500 else None
    for cls in type(exc).__mro__:
        # The full name is dear, and nearly never needed.
        if cls.__name__ in _ANSWERING and class_name(cls) in _ANSWERS:
            failed = getattr(exc, "code", None) in _FAILED
            return None if failed else _ANSWERS[class_name(cls)]
    return None


class AppLayers(LayerMap):
    """Knows the app's own middleware by its code; views, dependencies and the rest by who calls."""

    framework = "starlette"
    shared = frozenset({"starlette.middleware.base"})
    __slots__ = ("_by_owner", "_parts")

    def __init__(self) -> None:
        super().__init__()
        self._by_owner: dict[int, Layer] = {}
        self._parts: Memo[_Part] = Memo(_MAX_PARTS)

    def add_layer(self, made: Any, index: int | None) -> None:
        """Know `made`, a class, an instance or a function, as layer number `index`."""
        if is_machinery(str(getattr(made, "__module__", ""))):
            return
        layer = Layer(layer_name(made), "middleware", index)
        self._by_owner[id(made)] = layer
        # Chains are built from the inside: of layers that share code the outermost is named, and
        # the closure that a factory made rather than the factory.
        self._by_code.update({id(code): (code, layer) for code in _codes(made)})
        self._parts.clear()

    def named(self, made: Any) -> Layer | None:
        """Return what `add_layer` made of `made`, None for what is no layer of the app's."""
        return self._by_owner.get(id(made))

    def locate(self, tb: TracebackType | None) -> Layer | None:
        """Return the innermost layer that `tb` passes through."""
        parts = self._parts.entries.young
        named: FrameType | None = None
        framework = kind = role = ""
        while tb is not None:
            frame = tb.tb_frame
            tb = tb.tb_next
            code = frame.f_code
            known = parts.get(id(code))
            part = known[1] if known is not None and known[0]() is code else self._learn(frame)
            what, module = part
            if what == _LAYER:
                named, kind, role = frame, what, ""
            elif what == _APPS:
                if role:
                    named, kind, role = frame, role, ""
            elif what and (what != "exit" or (named is None and framework == "fastapi.routing")):
                named, framework = None, module
                role = "hook" if what == "exit" else what
        if named is None:
            return Layer(framework, "framework") if framework else None
        if kind != _LAYER:
            return Layer(_name(named), kind)
        # Classes may share a method, and one class may stand in the chain twice.
        owned = self._by_owner.get(id(_owner(named)))
        return owned or self.layer_of(named.f_code) or Layer(_name(named), _kind(named))

    def _learn(self, frame: FrameType) -> _Part:
        """Tell what a frame of this code is, and remember it."""
        module, code = str(frame.f_globals.get("__name__", "")), frame.f_code
        if self.layer_of(code) is not None or _is_layer(frame, module):
            what = _LAYER
        elif (module, code.co_name) in _CALLS:
            what = _CALLS[module, code.co_name]
        else:
            what = "" if module.partition(".")[0] in _MACHINERY else _APPS
        return self._parts.keep(code, (what, module))


def layer_name(made: Any) -> str:
    """Return what a layer is called: a function that Starlette wraps, by its own name."""
    dispatch = getattr(made, "dispatch_func", None)
    wrapped = type(made) is BaseHTTPMiddleware and callable(dispatch)
    return name_of(dispatch if wrapped else made)


def _is_layer(frame: FrameType, module: str) -> bool:
    code = frame.f_code
    if code.co_varnames[: code.co_argcount][-3:] != _APP:
        return False
    return not is_machinery(module)


def is_machinery(module: str) -> bool:
    """Tell whether code of `module` belongs to every app; Starlette's own middleware does not."""
    if module.startswith("starlette.middleware."):
        return module.endswith(_CORE_MIDDLEWARE)
    return module.partition(".")[0] in _MACHINERY


def _kind(frame: FrameType) -> str:
    """Tell a layer from an app of its own: a layer holds the next app."""
    owner = _owner(frame)
    holds = hasattr(type(owner), "app") or "app" in getattr(owner, "__dict__", ())
    return "middleware" if holds or "app" in frame.f_code.co_freevars else "app"


def _owner(frame: FrameType) -> Any:
    code = frame.f_code
    if code.co_varnames[:1] == ("self",) or "self" in code.co_freevars:
        return frame.f_locals.get("self")
    return None


def _name(frame: FrameType) -> str:
    return called(frame.f_code, type(frame.f_locals.get("self")))


def called(code: CodeType, owner: type[Any]) -> str:
    """Return what a view, a hook or a handler is called that runs `code`, for an `owner` if any."""
    name = str(getattr(code, "co_qualname", code.co_name))
    if code.co_argcount and code.co_varnames[0] == "self":
        name = f"{owner.__qualname__}.{code.co_name}"
    parts = name.removesuffix(".__call__").split(".<locals>.")
    return one_line(".".join(parts[-2:]) if "." not in parts[-1] else parts[-1], 200)


def _codes(made: Any) -> Iterator[CodeType]:
    """Yield the code of a layer's own functions and of the functions inside those."""
    for part in (getattr(made, "dispatch_func", None), made):
        if part is not None:
            yield from every_code_of(part, AppLayers.shared)
