"""The chain of a handler, built as Django builds it, with each entry that is in use."""

from __future__ import annotations

from typing import Any

from django.core.handlers import base as django_base
from django.core.handlers.asgi import ASGIHandler


def load(handler: Any) -> list[Any]:
    """Build the chain of `handler` anew; return what it made of MIDDLEWARE, outermost first.

    Django keeps no list of its entries, but hands each one that is in use to one function.
    """
    made: list[Any] = []
    base: Any = django_base
    convert = base.convert_exception_to_response

    def noting(get_response: Any) -> Any:
        made.append(get_response)
        return convert(get_response)

    base.convert_exception_to_response = noting
    try:
        handler.load_middleware(is_async=isinstance(handler, ASGIHandler))
    finally:
        base.convert_exception_to_response = convert
    # The first one is the handler's own, which calls the view.
    return made[:0:-1]
