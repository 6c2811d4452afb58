"""Plain methods of an asyncio server: their context takes what they say, and cannot be asked."""

from __future__ import annotations

from typing import Any

from everylayer.chain import drop_frame

from .handlers import Behavior, behavior_of, with_behavior


class RememberingContext:
    """gRPC's context for such a method, which can be asked what has been said to it."""

    __slots__ = ("_code", "_details", "_inner", "_trailing")

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._code: Any = None
        self._details = ""
        self._trailing: Any = ()

    def set_code(self, code: Any) -> None:
        self._inner.set_code(code)
        self._code = code

    def set_details(self, details: str) -> None:
        self._inner.set_details(details)
        self._details = details

    def set_trailing_metadata(self, trailing_metadata: Any) -> None:
        self._inner.set_trailing_metadata(trailing_metadata)
        self._trailing = trailing_metadata

    def abort(self, code: Any, details: str = "", trailing_metadata: Any = ()) -> None:
        self._code, self._details = code, details
        try:
            self._inner.abort(code, details, trailing_metadata)
        except BaseException as exc:
            drop_frame(exc)
            raise

    def code(self) -> Any:
        return self._code

    def details(self) -> str:
        return self._details

    def trailing_metadata(self) -> Any:
        return self._trailing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def remembering(handler: Any) -> Any:
    """Return `handler`, of a plain method, with a context that can be asked."""
    behavior: Behavior = behavior_of(handler)

    def serve(request: Any, context: Any) -> Any:
        return behavior(request, RememberingContext(context))

    return with_behavior(handler, serve, behavior)
