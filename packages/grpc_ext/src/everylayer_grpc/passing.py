"""Interceptors that can only hand an error on: no probe is needed within them.

Read from their source, which must compile to what runs. What is in any doubt can hide an error.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping
from types import CodeType
from typing import Any, NamedTuple

# What can hold an error back, or run something in a frame that is not known here.
_HOLDS: tuple[type[ast.AST], ...] = (
    *(ast.Try, ast.With, ast.AsyncWith, ast.Yield, ast.YieldFrom, ast.ClassDef, ast.Lambda),
    *(ast.GeneratorExp, ast.ListComp, ast.SetComp, ast.DictComp, ast.Nonlocal, ast.Global),
    *((ast.TryStar,) if hasattr(ast, "TryStar") else ()),
    *(ast.NamedExpr, ast.AugAssign, ast.Delete),
)
_BEHAVIORS = frozenset({"unary_unary", "unary_stream", "stream_unary", "stream_stream"})
_FACTORY = "_rpc_method_handler"

_Function = ast.FunctionDef | ast.AsyncFunctionDef


class Passing(NamedTuple):
    """What is known of an interceptor that hands each error on.

    Attributes:
        crossings: by the code of its functions, the lines at which they call what is inside it.
        alike: every instance does the same.
    """

    crossings: Mapping[CodeType, frozenset[int]]
    alike: bool


def passing(interceptor: Any) -> Passing | None:
    """Return where `interceptor` calls what is inside it, None if it may do more with that.

    Each error of what is inside leaves it if its method never catches, and does nothing with
    what the continuation gives but hand it on, or call its function by the arguments as they came.
    """
    try:
        return _passing(interceptor)
    except Exception:
        # There is no source, it is not that of an interceptor, or it must not be read here: a
        # tool that forbids blocking calls within the event loop raises an error of its own.
        return None


def _passing(interceptor: Any) -> Passing | None:
    cls = type(interceptor)
    method = inspect.getattr_static(interceptor, "intercept_service")
    others = cls.__mro__[1:]
    if vars(cls).get("intercept_service") is not method or not inspect.isfunction(method):
        return None
    if any(
        other.__module__.partition(".")[0] not in ("grpc", "abc", "builtins") for other in others
    ):
        return None
    function = _source_of(method)
    reader = None if function is None else _Reader(function)
    if function is None or reader is None or not reader.understood():
        return None
    crossings = {
        code: frozenset(reader.crossings.get(code.co_name, ())) for code in _all(method.__code__)
    }
    own = function.args.args[0].arg
    return Passing(crossings, all(node.id != own for node in _names(function)))


def _source_of(method: Any) -> _Function | None:
    """Return the definition of `method`, None unless it compiles to what runs.

    Of its whole module: how a call is compiled depends on what is imported there.
    """
    code = method.__code__
    tree = ast.parse("".join(inspect.findsource(method)[0]))
    module = compile(tree, "", "exec", dont_inherit=True)
    made = next(found for found in _all(module) if _place(found) == _place(code))
    if [*map(_text, _all(made))] != [*map(_text, _all(code))]:
        return None
    return next(
        node
        for node in ast.walk(tree)
        if isinstance(node, _Function)
        and not node.decorator_list
        and (node.name, node.lineno) == _place(code)
    )


def _place(code: CodeType) -> tuple[str, int]:
    return code.co_name, code.co_firstlineno


def _text(code: CodeType) -> tuple[Any, ...]:
    return code.co_code, code.co_names, code.co_varnames, code.co_freevars


def _all(code: CodeType) -> Iterator[CodeType]:
    yield code
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from _all(const)


def _names(node: ast.AST) -> Iterator[ast.Name]:
    return (child for child in ast.walk(node) if isinstance(child, ast.Name))


class _Reader:
    """Reads `intercept_service` of one class.

    Attributes:
        crossings: by the name of a function, the lines at which it calls what is inside.
    """

    def __init__(self, method: _Function) -> None:
        self.crossings: dict[str, set[int]] = {}
        self._method = method
        self._nested = [node for node in method.body if isinstance(node, _Function)]
        self._inside = {
            child: node for node in ast.walk(method) for child in ast.iter_child_nodes(node)
        }
        self._continuation = method.args.args[1].arg
        self._handlers: set[str] = set()
        self._behaviors: set[str] = set()

    def understood(self) -> bool:
        """Tell whether nothing is done that is not known here; find the crossings."""
        functions = [node for node in ast.walk(self._method) if isinstance(node, _Function)]
        names = [function.name for function in functions]
        if any(isinstance(node, _HOLDS) for node in ast.walk(self._method)):
            return False
        if len(functions) != len(self._nested) + 1 or len(set(names)) != len(names):
            return False
        if any(function.decorator_list for function in functions):
            return False
        own = [name for name in _names(self._method) if name.id == self._continuation]
        return (
            all(self._called_as_it_came(name) for name in own)
            and all(self._name_is_known(name) for name in _names(self._method))
            and all(self._attribute_is_known(node) for node in ast.walk(self._method))
            and self._stored_once()
            and bool(self.crossings)
        )

    def _stored_once(self) -> bool:
        kept = {self._continuation, *self._handlers, *self._behaviors}
        stores = [node.id for node in _names(self._method) if not isinstance(node.ctx, ast.Load)]
        given = {arg.arg for function in self._nested for arg in function.args.args}
        return (
            all(stores.count(name) <= 1 for name in kept)
            and not given & (kept | set(stores))
            and self._continuation not in stores
        )

    def _called_as_it_came(self, name: ast.Name) -> bool:
        user = self._inside[name]
        called = isinstance(user, ast.Call) and user.func is name
        return called and self._crossed(user, self._handlers)

    def _name_is_known(self, name: ast.Name) -> bool:
        user = self._inside[name]
        if not isinstance(name.ctx, ast.Load) or name.id == self._continuation:
            return True
        if name.id in self._behaviors:
            return isinstance(user, ast.Call) and user.func is name and self._crossed(user, None)
        if name.id in self._handlers:
            return isinstance(user, (ast.Attribute, ast.Return, ast.Compare, ast.If, ast.UnaryOp))
        if name.id in {function.name for function in self._nested}:
            return self._handed_to_grpc(name)
        return True

    def _attribute_is_known(self, node: ast.AST) -> bool:
        if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
            return True
        if node.value.id not in self._handlers:
            return True
        user = self._inside[node]
        if node.attr in _BEHAVIORS:
            if isinstance(user, ast.Call) and user.func is node:
                return self._crossed(user, None)
            return isinstance(user, ast.Assign) and [type(to) for to in user.targets] == [ast.Name]
        return node.attr in (
            *("request_streaming", "response_streaming", "_replace"),
            *("request_deserializer", "response_serializer"),
        )

    def _crossed(self, call: Any, handlers: set[str] | None) -> bool:
        """Take a call of what is inside; its value goes to `handlers`, None: anywhere."""
        function: Any = self._inside[call]
        while not isinstance(function, _Function):
            function = self._inside[function]
        statement = self._statement_of(call, isinstance(function, ast.AsyncFunctionDef))
        target = statement.targets[0] if isinstance(statement, ast.Assign) else None
        if statement is None or not isinstance(target, (ast.Name, type(None))):
            return False
        if handlers is not None:
            if isinstance(statement, ast.Expr):
                return False
            if target is not None:
                handlers.add(target.id)
                self._behaviors.update(self._behaviors_of(target.id))
        lines = _lines(call)
        self.crossings.setdefault(function.name, set()).update(lines)
        return _as_they_came(call, function) and not any(
            lines & _lines(other)
            for other in ast.walk(function)
            if isinstance(other, ast.Call) and other is not call
        )

    def _statement_of(self, call: ast.Call, awaited: bool) -> Any:
        """Return the statement whose whole value `call` is, None if it is only a part of one."""
        around = self._inside[call]
        if awaited:
            around = self._inside[around] if isinstance(around, ast.Await) else call
        return around if isinstance(around, (ast.Return, ast.Assign, ast.Expr)) else None

    def _behaviors_of(self, handler: str) -> Iterator[str]:
        for node in ast.walk(self._method):
            held = node.value if isinstance(node, ast.Assign) else None
            if (
                isinstance(held, ast.Attribute)
                and isinstance(held.value, ast.Name)
                and (held.value.id == handler and held.attr in _BEHAVIORS)
            ):
                yield from (to.id for to in _names(node) if isinstance(to.ctx, ast.Store))

    def _handed_to_grpc(self, name: ast.Name) -> bool:
        user = self._inside[name]
        if isinstance(user, ast.keyword):
            user = self._inside[user]
        if not isinstance(user, ast.Call) or user.func is name:
            return False
        called = user.func
        to = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
        return str(to).endswith(_FACTORY) or to == "_replace"


def _lines(call: ast.Call) -> set[int]:
    return set(range(call.lineno, (call.end_lineno or call.lineno) + 1))


def _as_they_came(call: ast.Call, function: _Function) -> bool:
    """Tell whether `call` gives just the last parameters of `function`, by position."""
    given = [arg.id for arg in call.args if isinstance(arg, ast.Name)]
    takes = [arg.arg for arg in function.args.args]
    whole = bool(given) and not call.keywords and len(given) == len(call.args)
    return whole and takes[-len(given) :] == given
