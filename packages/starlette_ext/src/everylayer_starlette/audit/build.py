"""Builds an app's chain, and keeps what each entry of its list has made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from starlette.middleware import Middleware

# By identity: what an entry made, and the app that it was given.
Made = dict[int, tuple[Any, Any]]


class _Noted(Middleware):
    """An entry of an app's list that tells what it has made."""

    def __init__(self, entry: Middleware, made: Made) -> None:
        self.__dict__.update(entry.__dict__)
        self._entry = entry
        self._made = made

    def __iter__(self) -> Iterator[Any]:
        cls, args, kwargs = self._entry

        def make(*args: Any, **kwargs: Any) -> Any:
            built = cls(*args, **kwargs)
            app = kwargs["app"] if "app" in kwargs else args[0]
            self._made[id(built)] = built, app
            return built

        return iter((make, args, kwargs))


def build(app: Any, made: Made) -> Any:
    """Let `app` build its chain, as it would at its first request.

    Raises:
        Exception: whatever its middleware raises when it is made.
    """
    entries = app.user_middleware
    app.user_middleware = [
        _Noted(entry, made) if isinstance(entry, Middleware) else entry for entry in entries
    ]
    try:
        app.middleware_stack = app.build_middleware_stack()
    finally:
        app.user_middleware = entries
    return app.middleware_stack
