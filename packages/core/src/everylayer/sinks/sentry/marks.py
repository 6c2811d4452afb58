"""What is known to Sentry of an exception, kept on the object itself.

Builtin exceptions take no weak reference, and an address alone may come back as that of another
one. So the note is an entry of the exception's own `__dict__`, which goes when the exception goes
and refers to nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ...layers import Layer
from .place import Place

_KEY = "_everylayer_sentry"

# Read through the base class: a subclass may define hostile properties of this name.
_state: Any = BaseException.__dict__["__dict__"].__get__


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
    """Return the note on `exc`."""
    found = _state(exc).get(_KEY)
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
    _state(exc)[_KEY] = (
        mark.event_id,
        mark.ours,
        mark.time_ns,
        tuple(mark.place) if mark.place else None,
        (layer.name, layer.kind, layer.index) if layer else None,
        mark.phase,
    )


def drop(exc: BaseException) -> None:
    """Take the note off `exc`."""
    _state(exc).pop(_KEY, None)
