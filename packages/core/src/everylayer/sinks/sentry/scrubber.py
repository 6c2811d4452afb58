"""The last place before Sentry serialises an event.

Global event processors run first: what Sentry's integrations know of a request, what the app's
own processors add and the threads of `attach_stacktrace` come after them. So an event passes the
redactor once more where Sentry scrubs it, and Sentry's or the app's scrubber follows.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, NamedTuple

from ...failsafe import count_failure
from ...redaction.guard import Redacting
from . import redacted

_OPTION = "event_scrubber"


class Pending(NamedTuple):
    """What an event is redacted by on its way; no exception is kept by it.

    Attributes:
        event_id: of the event.
        redacting: None if it shall stay as it is.
    """

    event_id: str
    redacting: Redacting | None


_pending: ContextVar[Pending | None] = ContextVar("everylayer_sentry_event", default=None)
# What redacts an event that no processor has announced.
_Other = Callable[[], "Redacting | None"]


def announce(event: Any, redacting: Redacting | None) -> None:
    """Say how `event` is redacted, for its scrubber."""
    _pending.set(Pending(str(event.get("event_id")), redacting))


def without_secrets(event: Any, redacting: Callable[[], Redacting | None]) -> Any:
    """Return `event` without secrets; where that fails, without its texts.

    Args:
        event: it is not changed, unless something interrupts: Sentry would then go on with it.
        redacting: tells by what; None leaves the event as it is.
    """
    try:
        by = redacting()
        return event if by is None else redacted.redacted(event, by)
    except Exception:
        # Without its stack, which may quote what was to be redacted.
        count_failure("everylayer.redaction", with_stack=False)
        return redacted.bare(event)
    except BaseException:
        _become(event, redacted.bare(event))
        raise


class Scrubber:
    """Stands in Sentry's options before the scrubber that was there."""

    __slots__ = ("_other", "inner")

    def __init__(self, inner: Any, other: _Other) -> None:
        self.inner = inner
        self._other = other

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def scrub_event(self, event: Any) -> None:
        """Redact `event` in its place, then have it scrubbed."""
        if event.get("type") in (None, "error"):
            pending = _pending.get()
            _pending.set(None)
            by: _Other = self._other
            if pending is not None and pending.event_id == str(event.get("event_id")):
                known = pending.redacting
                by = lambda: known  # noqa: E731
            found = without_secrets(event, by)
            if found is not event:
                _become(event, found)
        if self.inner:
            self.inner.scrub_event(event)


class Clients:
    """The clients of Sentry that have a `Scrubber`."""

    __slots__ = ("_known", "_other")

    def __init__(self, other: _Other) -> None:
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()
        self._other = other

    def cover(self, client: Any) -> None:
        """Give `client` a scrubber, once."""
        options = client.options
        if client.is_active() and not isinstance(options.get(_OPTION), Scrubber):
            options[_OPTION] = Scrubber(options.get(_OPTION), self._other)
            self._known.add(client)

    def release(self) -> None:
        """Give back to each client what it had."""
        for client in list(self._known):
            current = client.options.get(_OPTION)
            if isinstance(current, Scrubber):
                client.options[_OPTION] = current.inner
        self._known.clear()


def _become(event: Any, other: Any) -> None:
    event.clear()
    event.update(other)
