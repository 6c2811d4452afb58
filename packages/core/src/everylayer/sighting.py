"""One exception of one request, as the seams saw it; alive only until the outcome is known."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from opentelemetry.trace import Span

from .chain import is_group, links, traceback_of
from .layers import FRAMEWORK, Layer, LayerMap, from_traceback
from .redaction.values import Holder

# The phase of what a layer handled by itself, as the monitor saw it.
SWALLOWED = "swallowed"

# Type, message, file and line of an error that has been written.
Identity = tuple[str, str, str, int]

# Frames between two seams: further down a comparison of both ends is cheaper.
_NEAR = 12


class Sighting:
    """What is known of an exception before its record is built.

    Attributes:
        exc: the exception itself; dropped with the sighting.
        tb: the longest traceback that any seam saw.
        layer: where it began, None while nobody has asked the traceback.
        layers: names it from the traceback, if the framework's package has a map.
        phase: what that layer was doing.
        time_ns: when the first seam saw it, nanoseconds since the epoch.
        client_status: the 3xx or 4xx status that the framework gives this exception.
        handled: what the caller of `everylayer.record` said.
        explicit: the app asked for the record, so policy cannot leave it out.
        attributes: what the app passed to `Span.record_exception`.
        said: its message, where the exception itself says nothing and a seam knows better.
        escaped: it left the app after the response had started.
        identity: what it was written as, None before that.
        failed: it was written as an ERROR.
        left: it left the app; unless a layer around the app answers it, nobody did.
        after_start: the response had started when it was seen.
        late: the span had ended when it was seen.
        departed: it only says that the client went away: the seam could tell, its class cannot.
        written: it has been dealt with.
        home: the late child span that is already begun for it.
        scopes: Sentry's current and isolation scope where it was first seen.
        named: values that the app has named as sensitive where the exception was seen first.
        tenant: whose work it was there; empty or None where nobody said.
    """

    # Defaults of the class, and no slots: most keep most of them.
    layer: Layer | None = None
    layers: LayerMap | None = None
    phase = ""
    client_status: int | None = None
    handled: bool | None = None
    explicit = False
    attributes: Mapping[str, Any] | None = None
    said: str | None = None
    escaped = False
    identity: Identity | None = None
    failed = False
    left = False
    after_start = False
    late = False
    departed = False
    written = False
    home: Span | None = None
    scopes: tuple[Any, Any] | None = None
    named: Holder | None = None
    tenant: str | None = None

    def __init__(self, exc: BaseException, tb: TracebackType | None, time_ns: int) -> None:
        self.exc = exc
        self.tb = tb
        self.time_ns = time_ns

    def add(
        self,
        tb: TracebackType | None,
        layer: Layer | None,
        phase: str,
        client_status: int | None,
        layers: LayerMap | None,
    ) -> None:
        """Take what another seam knows: the longer traceback, and whatever was missing."""
        if self.phase == SWALLOWED and phase != SWALLOWED:
            # It went on after all, and is what any seam sees.
            self.phase, self.layer = "", None
        if layers is not None:
            self.layers = layers
        if layer is not None and self.layer is None:
            asked = self.layers is not None and self.layers.asked_by_seams
            # What the first seam could have told from its traceback goes before a later name.
            self.layer = layer if asked else self._located() or layer
        self.phase = self.phase or phase
        if self.client_status is None:
            self.client_status = client_status
        self.grow(tb)

    def take_word(
        self, explicit: bool, attributes: Mapping[str, Any] | None, handled: bool | None
    ) -> None:
        """Take what the app itself says of the exception."""
        if explicit:
            self.explicit = True
            self.attributes = attributes
        if handled is not None:
            self.handled = handled

    def grow(self, tb: TracebackType | None) -> None:
        """Take `tb` if it is longer, as it is at each seam further out."""
        known = self.tb
        if tb is known or tb is None:
            return
        # A seam takes its own frame out of the traceback that it passes on.
        following = known.tb_next if known is not None else None
        head: TracebackType | None = tb
        for _ in range(_NEAR):
            if head is None:
                break
            if head is known or head is following:
                self.tb = tb
                return
            head = head.tb_next
        if _longer(tb, known):
            self.tb = tb

    def stayed(self) -> bool:
        """Tell whether what a layer handled never left the frame that did.

        Each frame that an exception leaves is followed by one more in its traceback.
        """
        tb = traceback_of(self.exc)
        return tb is None or self.tb is None or tb.tb_frame is self.tb.tb_frame

    def where(self) -> Layer:
        """Return the layer that it began in, as far as anything tells."""
        if self.layer is None:
            self.layer = self.so_far()
        return self.layer

    def so_far(self) -> Layer:
        """Return the same, while a seam further out may still name it better."""
        return self.layer or self._located() or from_traceback(self.tb)

    def _located(self) -> Layer | None:
        if self.layers is None:
            return None
        found = self.layers.locate(self.tb)
        if (found is None or found.kind == FRAMEWORK) and is_group(self.exc):
            return self._located_within() or found
        return found

    def _located_within(self) -> Layer | None:
        """Return the layer of a member: a task group of the framework's has raised the group."""
        assert self.layers is not None
        for link in links(self.exc):
            if link.relation == "member":
                found = self.layers.locate(traceback_of(link.exc))
                if found is not None and found.kind != FRAMEWORK:
                    return found
        return None


def _longer(one: TracebackType | None, other: TracebackType | None) -> bool:
    while one is not None and other is not None:
        one, other = one.tb_next, other.tb_next
    return one is not None
