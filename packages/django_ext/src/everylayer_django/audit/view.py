"""The view that answers a request."""

from __future__ import annotations

from types import FunctionType
from typing import Any
from urllib.parse import unquote

from django.urls import Resolver404, get_resolver

from everylayer.audit.model import Request
from everylayer.audit.parts import Part, attempted
from everylayer.layers import name_of

from ..locate import class_of
from .functions import around, functions_of, mode, of_the_app, where
from .responses import Responses

_SEAM = "process_exception_by_middleware"
_KIND = "endpoint"


def endpoints(handler: Any, request: Request) -> list[Part]:
    """Return the view of `request`, none where no URL leads to one.

    The chain of `handler` must still be built: the points in its responses go into it.
    """
    path = unquote(request.path.partition("#")[0].partition("?")[0]) or "/"
    try:
        view = get_resolver().resolve(path).func
    except Resolver404:
        return []
    return [attempted(lambda: _part(handler, view, request.method), view, _KIND, _SEAM)]


def _part(handler: Any, view: Any, method: str) -> Part:
    name, cls = name_of(class_of(view) or view), class_of(view)
    functions = _functions(view, cls, method)
    inner = (of_the_app(functions) or functions)[-1]
    responses = Responses(handler, view, name)
    return Part(
        name,
        _KIND,
        where=where(cls) if cls is not None else where(inner),
        mode=mode([inner]),
        seam=_SEAM,
        points={**around(inner), "stream": responses.stream, "teardown": responses.teardown},
    )


def _functions(view: Any, cls: Any, method: str) -> list[FunctionType]:
    if cls is None:
        return functions_of(view, closures=True)
    name = method.lower()
    # A view set of REST framework says which of its methods it is for.
    actions = getattr(view, "actions", None) or {}
    if name == "head" and name not in actions and not hasattr(cls, name):
        name = "get"
    found = getattr(cls, actions.get(name, name), None) or cls.dispatch
    return functions_of(found, closures=True)
