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
        frames: those of its stacks that hold no secret any more: they are most of its size.
    """

    event_id: str
    redacting: Redacting | None
    frames: list[Any]


_pending: ContextVar[Pending | None] = ContextVar("everylayer_sentry_event", default=None)
# What redacts an event that no processor has announced.
_Other = Callable[[], "Redacting | None"]


def processed(event: Any, redacting: _Other) -> Any:
    """Return `event` without secrets, and say how it was done, for its scrubber.

    Args:
        event: it is not changed, unless something interrupts: Sentry would then go on with it.
        redacting: tells by what; None leaves the event as it is.
    """

    def begin() -> Pending:
        found = Pending(str(event.get("event_id")), redacting(), [])
        _pending.set(found)
        return found

    return _without_secrets(event, begin)


def _without_secrets(event: Any, begin: Callable[[], Pending]) -> Any:
    try:
        _, by, frames = begin()
        return event if by is None else redacted.redacted(event, by, frames)
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
            found = _without_secrets(event, lambda: self._taken(event))
            if found is not event:
                _become(event, found)
        if self.inner:
            self.inner.scrub_event(event)

    def _taken(self, event: Any) -> Pending:
        """Return what was said of `event`, which is then forgotten."""
        pending = _pending.get()
        _pending.set(None)
        event_id = str(event.get("event_id"))
        if pending is not None and pending.event_id == event_id:
            return pending
        return Pending(event_id, self._other(), [])


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
