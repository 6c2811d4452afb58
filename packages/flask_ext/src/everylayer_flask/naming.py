"""Which hook, handler or view an error comes from, read from its traceback: nothing is wrapped."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from types import CodeType, FrameType, FunctionType, TracebackType
from typing import Any

from blinker import Signal
from flask import Flask, ctx
from werkzeug.exceptions import HTTPException

from everylayer.layers import Layer, codes_of, frame_name, name_of
from everylayer.memo import Memo
from everylayer.settings import Settings

from .active import context, flask_request
from .rules import Place, Rules, is_plumbing

_FLASK = Layer("Flask", "framework")
_MAX_LAYERS = 512
_EMPTY = object()

# Flask 3.2 makes one class of the two contexts, and warns of the old name.
_Context: Any = vars(ctx).get("RequestContext", ctx.AppContext)

# What Flask's functions call: kind of layer, phase, and where such functions are registered.
_Step = tuple[str, str, str]
_VIEW = ("view", "view", "view_functions")
_BEFORE = ("hook", "before_request", "before_request_funcs")
_PREPROCESSOR = ("hook", "url_value_preprocessor", "url_value_preprocessors")
_SIGNAL = ("hook", "signal", "")
_HANDLER = ("handler", "errorhandler", "error_handler_spec")
_STEPS: tuple[tuple[Any, _Step], ...] = (
    (Flask.wsgi_app, ("app", "call", "")),
    (Flask.full_dispatch_request, ("app", "dispatch", "")),
    (Flask.finalize_request, ("app", "finalize", "")),
    (Flask.dispatch_request, _VIEW),
    (Flask.preprocess_request, _BEFORE),
    (Flask.process_response, ("hook", "after_request", "after_request_funcs")),
    (Flask.do_teardown_request, ("hook", "teardown_request", "teardown_request_funcs")),
    (Flask.do_teardown_appcontext, ("hook", "teardown_appcontext", "teardown_appcontext_funcs")),
    (Flask.inject_url_defaults, ("hook", "url_defaults", "url_default_functions")),
    (
        Flask.update_template_context,
        ("hook", "context_processor", "template_context_processors"),
    ),
    (Flask.handle_user_exception, _HANDLER),
    (Flask.handle_http_exception, _HANDLER),
    (Flask.handle_exception, _HANDLER),
    (_Context.push, ("hook", "session", "")),
    (_Context.match_request, ("route", "match", "")),
)

# A frame that says what comes next: the layer that runs, and its step if it is Flask itself. A
# signal has none of its own. Keyed as `rules.Known`.
_Mark = tuple[CodeType, "Layer | None", "_Step | None"]
_MARKS: dict[int, _Mark] = {
    id(function.__code__): (function.__code__, _FLASK, step) for function, step in _STEPS
}
_MARKS[id(Signal.send.__code__)] = (Signal.send.__code__, None, None)


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

    __slots__ = ("_app", "_layers", "_marked_names", "_marks")

    def __init__(self, settings: Settings, app: Flask) -> None:
        super().__init__(settings)
        self._app = weakref.ref(app)
        self._layers: Memo[Layer] = Memo(_MAX_LAYERS)
        self._mark(_MARKS)

    def know(self, layers: Iterable[Any]) -> None:
        super().know(layers)
        known = {key: (code, layer, None) for key, (code, layer) in self.known.items()}
        self._mark({**_MARKS, **known})

    def _mark(self, marks: dict[int, _Mark]) -> None:
        self._marks = marks
        self._marked_names = frozenset(mark[0].co_name for mark in marks.values())

    def place(self, tb: TracebackType | None, phase: str) -> Place:
        found: Place = (None, phase)
        step: _Step | None = None
        marks, names = self._marks, self._marked_names
        while tb is not None:
            frame, tb = tb.tb_frame, tb.tb_next
            code = frame.f_code
            # A name is compared in a fraction of the time that an `id` takes.
            mark = marks.get(id(code)) if code.co_name in names else None
            if mark is None:
                if step is not None and not is_plumbing(frame):
                    found, step = self._named(frame, step), None
            elif mark[1] is not None:
                step = mark[2]
                found = (mark[1], phase if step is None else step[1])
            elif step is not None:
                step = _SIGNAL
        return found

    def _named(self, frame: FrameType, step: _Step) -> Place:
        function = self._view(frame.f_code) if step is _VIEW else None
        if function is None:
            function = self._registered(frame, step[2])
        if function is None and step is _BEFORE:
            function = self._registered(frame, _PREPROCESSOR[2])
            step = step if function is None else _PREPROCESSOR
        kind, phase, registry = step
        if function is not None:
            return self._layer(function, kind), phase
        if registry == "after_request_funcs" and not _is_asked_once(frame.f_code):
            # The other thing that runs there.
            phase = "session"
        return Layer(frame_name(frame), kind), phase

    def _layer(self, function: Any, kind: str) -> Layer:
        known = self._layers.get(function)
        if known is not None and known.kind == kind:
            return known
        layer = Layer(registered_name(function), kind)
        return self._layers.keep(function, layer) if type(function) is FunctionType else layer

    def _view(self, code: CodeType) -> Any:
        """Return the view that was asked for, if it runs `code`.

        Views that share a decorator share the code of their outermost frame, too.
        """
        asked, app = flask_request(), self._app()
        if asked is None or app is None:
            return None
        view = app.view_functions.get(asked.endpoint or "")
        return view if runs(view, code) else None

    def hooks(self) -> Iterator[Any]:
        """Yield the functions that the app, or a blueprint, has registered around its views."""
        for kind, _, registry in (*(step for _, step in _STEPS), _PREPROCESSOR):
            if kind == "hook" and registry:
                yield from _functions(getattr(self._app(), registry, ()))

    def _registered(self, frame: FrameType, registry: str) -> Any:
        """Return the function of `registry` whose call `frame` is.

        Functions that share a decorator share their code; what they close over tells them apart.
        """
        code, first = frame.f_code, None
        for function in _functions(getattr(self._app(), registry, ())):
            if runs(function, code):
                if not code.co_freevars or closes_over(function, frame):
                    return function
                first = first or function
        return first


def _is_asked_once(code: CodeType) -> bool:
    """Tell whether a function given to `flask.after_this_request` runs `code`."""
    try:
        functions = getattr(context(), "_after_request_functions", ())
    except RuntimeError:
        return False
    return any(runs(function, code) for function in functions)


def runs(function: Any, code: CodeType) -> bool:
    """Tell whether a frame that runs `code` is a call of `function`."""
    if getattr(getattr(function, "__func__", function), "__code__", None) is code:
        return True
    return not hasattr(function, "__code__") and code in codes_of(function)


def registered_name(function: Any) -> str:
    """Return the name of a hook or view, as the app keeps it.

    What decorates a view class is called after its `as_view`, as all of them are.
    """
    cls = getattr(function, "view_class", None)
    return name_of(cls if isinstance(cls, type) else function)


def closes_over(function: Any, frame: FrameType) -> bool:
    """Tell whether the variables around `function` are those around what `frame` runs."""
    cells = getattr(getattr(function, "__func__", function), "__closure__", None) or ()
    here = frame.f_locals
    pairs = zip(frame.f_code.co_freevars, cells, strict=False)
    return all(here.get(name, _EMPTY) is _content(cell) for name, cell in pairs)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return _EMPTY


def _functions(registry: Any) -> Iterator[Any]:
    """Yield the functions in a tree of dictionaries and lists, as Flask keeps them."""
    if isinstance(registry, dict):
        for value in registry.values():
            yield from _functions(value)
    elif isinstance(registry, (list, tuple)):
        yield from registry
    elif callable(registry):
        yield registry
