"""The fixture `error_spans`: the spans that a test has made, and what may be asserted of them."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from collections.abc import Iterator

from ..audit.model import SpanData, SpanEvent
from ..failsafe import own_failures
from . import telling
from .provider import Installation, Kept
from .recorded import Asked, Recorded, Status, recorded_in

_OPT_IN = "OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN"
_STEP = 0.01


class ErrorSpans:
    """The spans that have started and ended since the test began."""

    def __init__(self, kept: Kept, installation: Installation) -> None:
        self._kept = kept
        self._installation = installation
        self._failures = own_failures()

    @property
    def spans(self) -> tuple[SpanData, ...]:
        """All spans, in the order of their ends."""
        return self._kept.spans()

    @property
    def errors(self) -> tuple[SpanEvent, ...]:
        """All exception events, in the order of time."""
        return tuple(each.event for each in recorded_in(self.spans))

    def clear(self) -> None:
        """Forget all spans, those that have not ended too."""
        self._kept.reset()

    def watch(self, provider: object) -> None:
        """See the spans of a provider of the app's own, that is not the global one."""
        self._installation.watch(provider)

    def assert_recorded(
        self,
        error: type[BaseException] | str,
        *,
        message: str | re.Pattern[str] | None = None,
        layer: str | None = None,
        status: Status | None = None,
        handled: bool | None = None,
        count: int | None = 1,
        span: str | SpanData | None = None,
        wait: float = 0.25,
    ) -> tuple[Recorded, ...]:
        """Assert that an error is on a span, and return what was found.

        Args:
            error: its class, as the span names it (no subclass of it), or `Error`, `pkg.Error`.
            message: a part of the message, or a compiled regular expression.
            layer: name or glob of the layer; of `pkg.Class`, `Class` will do.
            status: of the span that it is on.
            handled: whether a layer dealt with it.
            count: how often; None for at least once.
            span: name or glob of the span that it is on, or that span.
            wait: for spans that end later, seconds; nothing waits if it is there.

        Raises:
            AssertionError: it is not there, or not that often.
        """
        __tracebackhide__ = True
        asked = Asked(error, message, layer, status, handled, span)
        until = time.monotonic() + wait
        while self._may_come(asked, count) and time.monotonic() < until:
            time.sleep(_STEP)
        return self._checked(asked, count, stood_still=_loop_runs())

    async def assert_recorded_async(
        self,
        error: type[BaseException] | str,
        *,
        message: str | re.Pattern[str] | None = None,
        layer: str | None = None,
        status: Status | None = None,
        handled: bool | None = None,
        count: int | None = 1,
        span: str | SpanData | None = None,
        wait: float = 0.25,
    ) -> tuple[Recorded, ...]:
        """As `assert_recorded`, and tasks of the running event loop go on while it waits."""
        __tracebackhide__ = True
        asked = Asked(error, message, layer, status, handled, span)
        until = time.monotonic() + wait
        while self._may_come(asked, count) and time.monotonic() < until:
            await _pause()
        return self._checked(asked, count, stood_still=False)

    def assert_none(self) -> None:
        """Assert that no span has an error: no exception event, no status ERROR.

        Raises:
            AssertionError: one has.
        """
        __tracebackhide__ = True
        spans = self.spans
        if recorded_in(spans) or any(span.status == "ERROR" for span in spans):
            raise AssertionError(telling.recorded(spans, self._hints(False)))

    def _may_come(self, asked: Asked, count: int | None) -> bool:
        # More than there should be does not become less.
        met = sum(map(asked.meets, recorded_in(self.spans)))
        return met < (1 if count is None else count)

    def _checked(self, asked: Asked, count: int | None, stood_still: bool) -> tuple[Recorded, ...]:
        __tracebackhide__ = True
        spans = self.spans
        found = tuple(filter(asked.meets, recorded_in(spans)))
        if len(found) == count or (count is None and found):
            return found
        hints = self._hints(stood_still)
        raise AssertionError(telling.not_recorded(asked, count, spans, hints))

    def _hints(self, stood_still: bool) -> Iterator[str]:
        still_open = self._kept.open()
        if still_open:
            yield f"not ended: {', '.join(still_open[:8])}"
            if stood_still:
                yield "the event loop stood still meanwhile: await assert_recorded_async(...)"
        if own_failures() != self._failures:
            yield "everylayer itself has failed meanwhile; its log tells why"
        signals = os.environ.get(_OPT_IN, "").split(",")
        if "logs" in [each.strip() for each in signals]:
            yield f"{_OPT_IN}=logs: exceptions are log events here, not span events"


def _loop_runs() -> bool:
    return asyncio._get_running_loop() is not None


async def _pause() -> None:
    if _loop_runs():
        await asyncio.sleep(_STEP)
    else:
        await sys.modules["trio"].sleep(_STEP)


def error_spans() -> Iterator[ErrorSpans]:
    """Yield what the fixture of this name is."""
    kept = Kept()
    installation = Installation(kept)
    installation.begin()
    try:
        yield ErrorSpans(kept, installation)
    finally:
        installation.end()
