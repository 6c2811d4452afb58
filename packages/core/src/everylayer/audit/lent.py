"""Functions of ours that stand for the app's own: frames of them name the layer."""

from __future__ import annotations

import builtins
import sys
from types import FunctionType
from typing import Any


def lend(function: Any, name: str, module: str, co_name: str = "") -> Any:
    """Return a copy of `function` that a traceback shows as `name` of `module`.

    Args:
        function: it uses no global names but builtins.
        name: qualified.
        module: name of one of the app's.
        co_name: of its code, where that is not the last part of `name`.
    """
    code = function.__code__
    if sys.version_info >= (3, 11):
        code = code.replace(co_name=co_name or name.rpartition(".")[2], co_qualname=name)
    else:
        code = code.replace(co_name=name)  # There a layer can only be named by this.
    names = {"__name__": module, "__builtins__": builtins}
    made = FunctionType(code, names, name, function.__defaults__, function.__closure__)
    made.__kwdefaults__ = function.__kwdefaults__
    return made
