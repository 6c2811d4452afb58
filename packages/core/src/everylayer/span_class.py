"""Libraries that patch `Span.record_exception` for all spans: they hear of ours too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.trace import Span

from . import text
from .failsafe import contained

_SDK = "opentelemetry.sdk.trace"
_METHOD = "record_exception"


class _Silent:
    """A span whose events go nowhere: the guard's own writer adds the one there shall be."""

    __slots__ = ("_span",)

    def __init__(self, span: Span) -> None:
        self._span = span

    def __getattr__(self, name: str) -> Any:
        return getattr(self._span, name)

    def add_event(self, *args: Any, **kwargs: Any) -> None:
        """Leave the event out."""


@contained
def tell(span: Span, exception: BaseException, attributes: Mapping[str, Any] | None) -> None:
    """Call what stands in the place of the SDK's `record_exception`, without the SDK's event.

    A guard on the instance hides a patch of the class, such as the one by which Sentry's
    `OTLPIntegration(capture_exceptions=True)` captures what is recorded.
    """
    owner = next((cls for cls in type(span).__mro__ if _METHOD in vars(cls)), None)
    if owner is None or owner.__module__ != _SDK:
        return  # A span of another make records by a method of its own.
    patched: Any = vars(owner)[_METHOD]
    if getattr(patched, "__globals__", {"__name__": _SDK}).get("__name__") == _SDK:
        return
    # The SDK formats it, which a hostile one does not survive.
    if text.is_printable(exception):
        patched(_Silent(span), exception, attributes)
