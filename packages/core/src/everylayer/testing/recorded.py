"""An error on a span, and what a test asks of one: values, no telemetry."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Any, Literal, NamedTuple

from ..audit.model import SpanData, SpanEvent
from ..sinks import attributes
from ..sinks.span_event import EVENT
from ..text import class_name

Status = Literal["ERROR", "UNSET", "OK"]
# Of a row: what it is about, what was asked for, what is there, whether that will do.
Row = tuple[str, str, str, bool]


class Recorded(NamedTuple):
    """An exception event, and the span that it is on."""

    event: SpanEvent
    span: SpanData

    @property
    def type(self) -> str:
        """Qualified name of the exception's class."""
        return str(self._value(attributes.EXCEPTION_TYPE))

    @property
    def message(self) -> str:
        """The exception's message, "" for none."""
        return str(self._value(attributes.EXCEPTION_MESSAGE))

    @property
    def stack(self) -> str:
        """The traceback as text."""
        return str(self._value(attributes.EXCEPTION_STACKTRACE))

    @property
    def layer(self) -> str:
        """The layer's name; "" if the event is not everylayer's."""
        return str(self._value(attributes.LAYER_NAME))

    @property
    def handled(self) -> bool | None:
        """Whether a layer dealt with it; None if the event is not everylayer's."""
        said = self._value(attributes.HANDLED)
        return said if isinstance(said, bool) else None

    def _value(self, name: str) -> Any:
        return self.event.attributes.get(name, "")


def recorded_in(spans: Iterable[SpanData]) -> tuple[Recorded, ...]:
    """Return the exception events of `spans`, in the order of time."""
    found = [Recorded(event, span) for span in spans for event in span.events]
    errors = [each for each in found if each.event.name == EVENT]
    return tuple(sorted(errors, key=lambda each: each.event.time))


class Asked:
    """What a test asks of an error."""

    __slots__ = ("_error", "_handled", "_layer", "_message", "_span", "_status")

    def __init__(
        self,
        error: type[BaseException] | str,
        message: str | re.Pattern[str] | None,
        layer: str | None,
        status: Status | None,
        handled: bool | None,
        span: str | SpanData | None,
    ) -> None:
        if isinstance(error, type) and issubclass(error, BaseException):
            self._error = class_name(error)
        elif isinstance(error, str) and error:
            self._error = error
        else:
            raise TypeError(f"{error!r} is neither an exception class nor the name of one")
        if status not in (None, "ERROR", "UNSET", "OK"):
            raise ValueError(f"status={status!r} is none of 'ERROR', 'UNSET' and 'OK'")
        self._message = message
        self._layer = layer
        self._status = status
        self._handled = handled
        self._span = span

    def __str__(self) -> str:
        return self._error

    def rows(self, recorded: Recorded) -> Iterator[Row]:
        """Yield one row for each thing that was asked for."""
        there = recorded.type
        named = there == self._error or there.endswith(f".{self._error}")
        yield "type", self._error, there, named
        if self._message is not None:
            yield self._of_message(self._message, recorded.message)
        if self._layer is not None:
            layer = recorded.layer
            # As people call it: the class alone.
            names = {layer, layer.rpartition(".")[2]}
            meets = any(fnmatchcase(name, self._layer) for name in names)
            yield "layer", self._layer, layer or "(not said)", meets
        if self._status is not None:
            status = recorded.span.status
            yield "status", self._status, status, status == self._status
        if self._handled is not None:
            said = recorded.handled
            there = "(not said)" if said is None else str(said)
            yield "handled", str(self._handled), there, said is self._handled
        if self._span is not None:
            yield self._of_span(self._span, recorded.span)

    def meets(self, recorded: Recorded) -> bool:
        """Tell whether `recorded` is all that was asked for."""
        return all(meets for _, _, _, meets in self.rows(recorded))

    def distance(self, recorded: Recorded) -> tuple[int, int]:
        """Return how far it is from that: another type counts most."""
        rows = list(self.rows(recorded))
        return (not rows[0][3], sum(not meets for _, _, _, meets in rows))

    @staticmethod
    def _of_message(asked: str | re.Pattern[str], there: str) -> Row:
        if isinstance(asked, str):
            return "message", f"...{asked}...", there, asked in there
        return "message", f"/{asked.pattern}/", there, asked.search(there) is not None

    @staticmethod
    def _of_span(asked: str | SpanData, there: SpanData) -> Row:
        if isinstance(asked, str):
            meets = asked == there.name or fnmatchcase(there.name, asked)
            return "span", asked, there.name, meets
        same = (asked.trace_id, asked.span_id) == (there.trace_id, there.span_id)
        return "span", f"{asked.name} {asked.span_id}", f"{there.name} {there.span_id}", same
