"""What a Sentry event says about its span and its layer; what the app has set stays."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

from ...layers import Layer
from .place import Place, url

Event = MutableMapping[str, Any]


def fill(
    event: Event,
    place: Place | None,
    layer: Layer | None,
    phase: str = "",
    *,
    trace_url: str = "",
    trace_is_free: bool = True,
) -> None:
    """Put the ids and the layer into `event`, under whatever is there already.

    Args:
        event: a Sentry event, before it is serialised.
        place: the span that it belongs to.
        layer: where its error began.
        phase: what that layer was doing.
        trace_url: template of a link to the trace.
        trace_is_free: nobody but Sentry itself has set the event's trace context.
    """
    _leave_us_out(event)
    tags: dict[str, Any] = {}
    contexts = event.setdefault("contexts", {})
    if place is not None:
        ids = _ids(place)
        if trace_is_free:
            contexts["trace"] = ids
        link = {"trace_url": url(trace_url, place)} if trace_url and place.sampled else {}
        _under(contexts, "otel", {**ids, **link})
        tags["otel.trace_id"] = place.trace_id
        tags["otel.span_id"] = place.span_id
        tags["otel.sampled"] = "true" if place.sampled else "false"
    if layer is not None:
        values: dict[str, Any] = {"layer": layer.name, "kind": layer.kind}
        if layer.index is not None:
            values["index"] = layer.index
        if phase:
            values["phase"] = phase
        _under(contexts, "everylayer", values)
        tags["everylayer.layer"] = layer.name
    given = event.get("tags")
    if given is None:
        event["tags"] = tags
    elif isinstance(given, MutableMapping):
        for name, value in tags.items():
            given.setdefault(name, value)


def drop_variables(event: Event) -> None:
    """Take the local variables out of an event that was just made of an exception."""
    for stack in _stacks(event):
        for frame in stack.get("frames", ()):
            frame.pop("vars", None)


def _leave_us_out(event: Event) -> None:
    """Take our own frames out of `event`: Sentry groups by frames, and they are not the app's."""
    for stack in _stacks(event):
        frames = stack.get("frames") or ()
        kept = [one for one in frames if not str(one.get("module")).startswith("everylayer")]
        if 0 < len(kept) < len(frames):
            stack["frames"] = kept


def _stacks(event: Event) -> Iterator[dict[str, Any]]:
    for value in (event.get("exception") or {}).get("values") or ():
        stack = value.get("stacktrace")
        # Sentry puts a note in the place of a stack that is too long.
        if isinstance(stack, dict):
            yield stack


def _ids(place: Place) -> dict[str, Any]:
    ids: dict[str, Any] = {"trace_id": place.trace_id, "span_id": place.span_id}
    if place.parent_id:
        ids["parent_span_id"] = place.parent_id
    ids["sampled"] = place.sampled
    return ids


def _under(contexts: MutableMapping[str, Any], name: str, values: dict[str, Any]) -> None:
    given = contexts.get(name)
    if given is None:
        contexts[name] = values
    elif isinstance(given, MutableMapping):
        # The app's scope keeps its own dict: an event gets a copy.
        contexts[name] = {**values, **given}
