"""An error on its way from a worker: recorded once it arrives, asked for or not."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Span

from .. import settings, spans
from ..failsafe import contained
from ..forks import ForkLock
from ..layers import WORK, Layer
from ..loose import ledger_for
from ..redaction import values
from .aftermath import hand_over
from .crossing import Origin
from .restored import restore
from .tenant import CURRENT, leave
from .tree import Carried

PHASE = "process"
_turn = ForkLock()


class Failure:
    """What a call in a worker gives in the place of a result.

    Pickled as plain values. Where it arrives, the error is recorded when somebody asks for it,
    or when it is clear that nobody will.
    """

    __slots__ = ("_asked", "_errors", "_process", "_sighted", "carried", "label", "origin")

    def __init__(self, carried: Carried, origin: Origin | None, label: str) -> None:
        self.carried: Carried = carried
        self.origin: Origin | None = origin
        self.label: str = label
        # The first is the one. No lock: to make it again imports the app's modules, which may ask
        # for it in turn, and a fork would find the lock held.
        self._errors: list[BaseException] = []
        self._asked = False
        self._sighted = False
        # The process that it has arrived in; a fork of that one gets a copy which is not its own.
        self._process = 0

    def __reduce__(self) -> Any:
        return _arrived, (self.carried, self.origin, self.label)

    def error(self, span: Span | None = None) -> BaseException:
        """Return the error to somebody who asked; the same one each time.

        Args:
            span: the request's, where it is known; else the current one if that is it.
        """
        self._asked = True
        made = self._made()
        self._sight(span)
        return made

    def unasked(self, span: Span | None) -> None:
        """Record the error for whom nobody may ask: as an ERROR, unless somebody does in time."""
        if not self._sighted:
            self._sight(span)

    def taken(self) -> BaseException:
        """Return the error to who records it by other means."""
        self._sighted = True
        return self._made()

    def _made(self) -> BaseException:
        if not self._errors:
            self._errors.append(restore(self.carried))
        return self._errors[0]

    def _sight(self, span: Span | None) -> None:
        home = span if span is not None else self._current()
        if home is None or (self._sighted and not spans.recording(home)):
            return
        sight(
            self._made(),
            home,
            self.label,
            asked=self._asked,
            sensitive=self.carried.sensitive,
            tenant=self.origin.tenant if self.origin is not None else "",
        )
        self._sighted = True

    def _current(self) -> Span | None:
        current = trace.get_current_span()
        if self.origin is None or not self.origin.trace_id:
            return current
        here = current.get_span_context()
        same = (here.trace_id, here.span_id) == self.origin[:2]
        return current if same else self.origin.span()

    def __del__(self) -> None:
        if self._process == os.getpid() and not self._sighted and self.origin is not None:
            _dropped(self)


def _arrived(carried: Carried, origin: Origin | None, label: str) -> Failure:
    failure = Failure(carried, origin, label)
    failure._process = os.getpid()
    return failure


@contained
def _dropped(failure: Failure) -> None:
    hand_over(failure.unasked, failure._current())


@contained
def sight(
    exc: BaseException,
    span: Span,
    label: str,
    *,
    asked: bool,
    sensitive: Mapping[str, str] | None = None,
    tenant: str = "",
) -> None:
    """Show `exc`, which work for `span` has raised elsewhere, to that span's ledger.

    Args:
        exc: the error.
        span: the request's; one that has ended gets a child.
        label: what ran there.
        asked: somebody waits for it, so that the response says what it meant.
        sensitive: what must not be shown of it.
        tenant: whose request it is.
    """
    # This may be the thread of a pool, which works for all of them.
    token = CURRENT.set(tenant) if tenant else None
    try:
        # Whoever asks and the pool's thread, one after the other: who asks must find it told, and
        # has the last word on whether that is late.
        with _turn:
            _show(exc, span, label, asked, sensitive)
    finally:
        if token is not None:
            leave(token)


def _show(
    exc: BaseException, span: Span, label: str, asked: bool, sensitive: Mapping[str, str] | None
) -> None:
    ledger = ledger_for(span, settings.current())
    known = ledger.sighting_of(exc)
    if known is None:
        with values.lent(span, sensitive or {}):
            ledger.see(exc, layer=Layer(label, WORK), phase=PHASE)
        known = ledger.sighting_of(exc)
        if known is not None and not asked:
            known.late = True
    elif asked and not known.written:
        known.late = spans.ended(span)


@contained
def asked_for(exc: BaseException, span: Span) -> None:
    """Take note that somebody asks for `exc`, which `sight` has shown to the ledger of `span`."""
    # No lock: whoever asks may hold that of a future.
    known = ledger_for(span, settings.current()).sighting_of(exc)
    if known is not None and not known.written:
        known.late = spans.ended(span)
