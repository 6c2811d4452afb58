"""Functions of ours that stand for the app's own: they go by a name of the app's."""

from __future__ import annotations

import builtins
import sys
from types import CodeType, FunctionType
from typing import Any


def lend(function: Any, code: CodeType | None, name: str, module: str) -> Any:
    """Return a copy of `function` that a traceback shows as one of `module`.

    Args:
        function: it uses no global names but builtins.
        code: whose name the copy bears; None for `name` itself.
        name: its qualified name.
    """
    changed: dict[str, Any] = {"co_name": code.co_name if code is not None else name}
    if sys.version_info >= (3, 11):
        changed["co_qualname"] = name
    else:
        changed["co_name"] = name  # There a layer can only be named by this.
    names = {"__name__": module, "__builtins__": builtins}
    made = FunctionType(
        function.__code__.replace(**changed),
        names,
        name,
        function.__defaults__,
        function.__closure__,
    )
    made.__kwdefaults__ = function.__kwdefaults__
    return made
