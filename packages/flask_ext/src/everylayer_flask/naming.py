"""Which hook, handler or view an error comes from, read from its traceback: nothing is wrapped."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from types import CodeType, FrameType, TracebackType
from typing import Any

from blinker import Signal
from flask import Flask, ctx
from werkzeug.exceptions import HTTPException

from everylayer.layers import Layer, codes_of, name_of
from everylayer.settings import Settings

from .rules import Place, Rules, frame_name, is_plumbing

_FLASK = Layer("Flask", "framework")

# Flask 3.2 makes one class of the two contexts, and warns of the old name.
_Context: Any = vars(ctx).get("RequestContext", ctx.AppContext)

# What Flask's functions call: kind of layer, phase, and where such functions are registered.
_Step = tuple[str, str, str]
_STEPS: dict[CodeType, _Step] = {
    Flask.wsgi_app.__code__: ("app", "call", ""),
    Flask.full_dispatch_request.__code__: ("app", "dispatch", ""),
    Flask.finalize_request.__code__: ("app", "finalize", ""),
    Flask.dispatch_request.__code__: ("view", "view", "view_functions"),
    Flask.preprocess_request.__code__: ("hook", "before_request", "before_request_funcs"),
    Flask.process_response.__code__: ("hook", "after_request", "after_request_funcs"),
    Flask.do_teardown_request.__code__: ("hook", "teardown_request", "teardown_request_funcs"),
    Flask.do_teardown_appcontext.__code__: (
        "hook",
        "teardown_appcontext",
        "teardown_appcontext_funcs",
    ),
    Flask.inject_url_defaults.__code__: ("hook", "url_defaults", "url_default_functions"),
    Flask.update_template_context.__code__: (
        "hook",
        "context_processor",
        "template_context_processors",
    ),
    Flask.handle_user_exception.__code__: ("handler", "errorhandler", "error_handler_spec"),
    Flask.handle_http_exception.__code__: ("handler", "errorhandler", "error_handler_spec"),
    Flask.handle_exception.__code__: ("handler", "errorhandler", "error_handler_spec"),
    _Context.push.__code__: ("hook", "session", ""),
    _Context.match_request.__code__: ("route", "match", ""),
}
_BEFORE = _STEPS[Flask.preprocess_request.__code__]
_PREPROCESSOR = ("hook", "url_value_preprocessor", "url_value_preprocessors")
_SIGNAL = ("hook", "signal", "")


def client_status(exc: BaseException) -> int | None:
    """Return the 3xx or 4xx status with which Flask answers `exc`, None for any other."""
    # By its type: what `isinstance` asks of an exception may fail.
    if not issubclass(type(exc), HTTPException):
        return None
    response = getattr(exc, "response", None)
    code = getattr(
        exc if response is None else response, "code" if response is None else "status_code", None
    )
    return code if isinstance(code, int) and code < 500 else None


class FlaskRules(Rules):
    """The rules of a Flask app, which also know its hooks, handlers and views."""

    __slots__ = ("_app",)

    def __init__(self, settings: Settings, app: Flask) -> None:
        super().__init__(settings)
        self._app = weakref.ref(app)

    def place(self, tb: TracebackType | None, phase: str) -> Place:
        found: Place = (None, phase)
        step: _Step | None = None
        while tb is not None:
            frame, tb = tb.tb_frame, tb.tb_next
            code = frame.f_code
            if code in self.known:
                found, step = (self.known[code], phase), None
            elif code in _STEPS:
                step = _STEPS[code]
                found = (_FLASK, step[1])
            elif step is not None and code is Signal.send.__code__:
                step = _SIGNAL
            elif step is not None and not is_plumbing(frame):
                found, step = self._named(frame, step), None
        return found

    def _named(self, frame: FrameType, step: _Step) -> Place:
        function = self._registered(frame.f_code, step[2])
        if function is None and step is _BEFORE:
            function = self._registered(frame.f_code, _PREPROCESSOR[2])
            step = step if function is None else _PREPROCESSOR
        kind, phase, registry = step
        if function is None and registry == "after_request_funcs":
            # The other thing that runs there.
            phase = "session"
        return Layer(frame_name(frame) if function is None else name_of(function), kind), phase

    def _registered(self, code: CodeType, registry: str) -> Any:
        """Return the function of `registry` whose frame runs `code`."""
        for function in _functions(getattr(self._app(), registry, ())):
            if getattr(getattr(function, "__func__", function), "__code__", None) is code:
                return function
            if not hasattr(function, "__code__") and code in codes_of(function):
                return function
        return None


def _functions(registry: Any) -> Iterator[Any]:
    """Yield the functions in a tree of dictionaries and lists, as Flask keeps them."""
    if isinstance(registry, dict):
        for value in registry.values():
            yield from _functions(value)
    elif isinstance(registry, (list, tuple)):
        yield from registry
    elif callable(registry):
        yield registry
