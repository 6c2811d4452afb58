"""Points in functions of the app's, as those of one layer: others may run the same code."""

from __future__ import annotations

import functools
from types import CodeType
from typing import Any

from everylayer.audit.model import Phase
from everylayer.audit.points import OfOne
from everylayer.faults.code import CodePoint
from everylayer.faults.watched import Moment

from .functions import functions_of, takes_self
from .parts import Points


def called(target: Any) -> Points:
    """Return the points around the innermost function that a call of `target` runs."""
    functions = functions_of(target)
    if not functions:
        return {}
    function = functions[-1]
    while isinstance(target, functools.partial):
        target = target.func
    code = function.__code__
    return around(code, getattr(target, "__self__", target) if takes_self(code) else function)


def around(code: CodeType, layer: Any) -> Points:
    """Return the points at which `code` starts and returns."""
    moments: tuple[tuple[Phase, Moment], ...] = (("before", "start"), ("after", "return"))
    return {phase: at(code, moment, layer) for phase, moment in moments}


def at(code: CodeType, moment: Moment, layer: Any) -> OfOne:
    """Return one point in `code`.

    Args:
        code: of a function.
        moment: of its run.
        layer: the object whose method it is, else the function itself.
    """
    return OfOne(CodePoint((code,), moment), (code,), layer)
