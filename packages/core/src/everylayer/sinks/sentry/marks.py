"""What is known to Sentry of an exception: a note on the object itself."""

from __future__ import annotations

from typing import NamedTuple

from ... import chain, notes
from ...layers import Layer
from .place import Place

_KEY = "_everylayer_sentry"
_MAX_MEMBERS = 64


class Mark(NamedTuple):
    """One exception's note.

    Attributes:
        event_id: the Sentry event that shows it, itself or in a chain; empty while there is none.
        ours: that event was captured by everylayer.
        time_ns: when the note was made, nanoseconds since the epoch.
        place: the span that it belongs to, if any.
        layer: where it began, if that is known.
        phase: what that layer was doing.
    """

    event_id: str
    ours: bool
    time_ns: int
    place: Place | None = None
    layer: Layer | None = None
    phase: str = ""

    def is_of(self, place: Place | None, since_ns: int) -> bool:
        """Tell whether it was made in this request: an app may raise one object again and again.

        Args:
            place: the span of the request, if it has one.
            since_ns: when the request began.
        """
        if place is not None and self.place is not None:
            return place.trace_id == self.place.trace_id
        return self.time_ns >= since_ns


def of(exc: BaseException) -> Mark | None:
    """Return the note on `exc`; that of its members for a group that was made anew from them."""
    found = notes.of(exc, _KEY)
    if found is None and chain.is_group(exc):
        inner = [notes.of(one, _KEY) for one in chain.members(exc)[:_MAX_MEMBERS]]
        # A task group wraps what it got, an `except*` splits it: the errors stay the same.
        found = inner[0] if inner and all(one == inner[0] for one in inner) else None
    if found is None:
        return None
    event_id, ours, time_ns, place, layer, phase = found
    return Mark(
        event_id,
        ours,
        time_ns,
        Place(*place) if place else None,
        Layer(*layer) if layer else None,
        phase,
    )


def put(exc: BaseException, mark: Mark) -> None:
    """Note `mark` on `exc`, as plain values: it may be pickled where everylayer is not."""
    layer = mark.layer
    notes.put(
        exc,
        _KEY,
        (
            mark.event_id,
            mark.ours,
            mark.time_ns,
            tuple(mark.place) if mark.place else None,
            (layer.name, layer.kind, layer.index) if layer else None,
            mark.phase,
        ),
    )


def put_inside(exc: BaseException, mark: Mark) -> None:
    """Note `mark` on `exc` and, for a group, on what it holds."""
    queue = [exc]
    for one in queue:
        put(one, mark)
        room = _MAX_MEMBERS - len(queue)
        queue += chain.members(one)[: max(room, 0)]


def drop(exc: BaseException) -> None:
    """Take the note off `exc`."""
    for one in (exc, *chain.members(exc)[:_MAX_MEMBERS]):
        notes.drop(one, _KEY)
