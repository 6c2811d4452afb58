"""A Sentry event without secrets: its texts pass the redactor, what gives it structure stays.

An event is shared with the app: its scope's contexts, user and breadcrumbs are the app's own
objects. So nothing is changed in place; what holds a secret is copied.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import sentry_sdk

from ...failsafe import count_failure
from ...redaction.guard import Redacting
from ...redaction.redactor import FAILED, MOST
from .params import PLACEHOLDER, params_of
from .source import KEYS, Source
from .walk import AnnotatedValue, Walk

Event = dict[str, Any]
_Part = Callable[[Any], Any]

# What Sentry and the SDK need as it is: ids, times, names of code and of deployments.
_KEPT = frozenset(
    {
        "event_id", "type", "timestamp", "start_timestamp", "received", "level", "platform",
        "logger", "release", "dist", "environment", "server_name", "sdk", "modules", "debug_meta",
        "transaction_info", "measurements", "_meta", "_metrics_summary", "_dropped_spans",
    }
)  # fmt: skip
_KEPT_OF_EXCEPTION = frozenset({"type", "module", "thread_id"})
_KEPT_OF_MECHANISM = frozenset(
    {
        "type", "handled", "synthetic", "exception_id", "parent_id", "source",
        "is_exception_group",
    }
)  # fmt: skip
_KEPT_OF_FRAME = frozenset(
    {
        "filename", "abs_path", "function", "raw_function", "module", "lineno", "colno", "in_app",
        "package", "platform", "instruction_addr", "addr_mode", "symbol_addr", "image_addr",
    }
)  # fmt: skip
_DONE_OF_FRAME = _KEPT_OF_FRAME | KEYS | {"vars"}
_SERIALISED = frozenset({str, dict, list})
_KEPT_OF_THREAD = frozenset({"id", "crashed", "current", "main", "state"})
_KEPT_OF_CRUMB = frozenset({"type", "level", "timestamp", "event_id"})
_KEPT_CONTEXTS = frozenset({"runtime", "os", "profile"})
_IDS = frozenset(
    {
        "trace_id", "span_id", "parent_span_id", "sampled", "trace_url", "op", "origin", "status",
        "layer", "kind", "index", "phase",
    }
)  # fmt: skip
_WITH_IDS = frozenset({"trace", "otel", "everylayer"})
_OUR_TAGS = ("otel.", "everylayer.")
# Whom an event is about is told on purpose.
_IDENTITY = frozenset({"username", "email", "ip_address", "name"})


def redacted(event: Event, redacting: Redacting, done: list[Any]) -> Event:
    """Return `event` without secrets, the same object if it holds none.

    Args:
        event: an error event, before it is serialised.
        redacting: the rules, and the values known for its error.
        done: frames that hold no secret any more; those of `event` are added.
    """
    return _Redaction(redacting, done).of(event)


def bare(event: Any) -> Event:
    """Return what of `event` is no text: all that can be sent if the redactor fails."""
    try:
        found: Event = {key: event[key] for key in _KEPT if key in event}
        contexts = event.get("contexts") or {}
        found["contexts"] = {
            name: {key: value for key, value in contexts[name].items() if key in _IDS}
            for name in _WITH_IDS
            if contexts.get(name)
        }
        tags = event.get("tags") or {}
        found["tags"] = {k: v for k, v in tags.items() if str(k).startswith(_OUR_TAGS)}
        if "exception" in event:
            found["exception"] = _bare_exceptions(event["exception"])
        else:
            found["logentry"] = {"message": FAILED}
    except Exception:
        return {"event_id": event.get("event_id"), "level": "error", "message": FAILED}
    return found


def _bare_exceptions(section: Any) -> Any:
    """Return types, places and links of the exceptions of an event."""
    values = section.get("values") if isinstance(section, Mapping) else section
    found = []
    for value in values if isinstance(values, list) else ():
        if not isinstance(value, Mapping):
            continue
        kept = {key: value[key] for key in _KEPT_OF_EXCEPTION if key in value}
        kept["value"] = FAILED
        mechanism = value.get("mechanism")
        if isinstance(mechanism, Mapping):
            kept["mechanism"] = {k: mechanism[k] for k in _KEPT_OF_MECHANISM if k in mechanism}
        stack = value.get("stacktrace")
        frames = stack.get("frames") if isinstance(stack, Mapping) else None
        if isinstance(frames, list):
            kept["stacktrace"] = {
                "frames": [{k: f[k] for k in _KEPT_OF_FRAME if k in f} for f in frames]
            }
        found.append(kept)
    return {"values": found}


# What is left of a part whose form cannot be read.
_CLOSED: Mapping[str, Callable[[Any], Any]] = {
    "exception": _bare_exceptions,
    "breadcrumbs": lambda _: {"values": []},
    "threads": lambda _: {"values": []},
    "stacktrace": lambda _: {"frames": []},
    "logentry": lambda _: {"message": FAILED},
    "fingerprint": lambda _: [FAILED],
    **{
        name: lambda _: {"redaction": FAILED}
        for name in ("contexts", "extra", "request", "tags", "user")
    },
}


def _first(part: tuple[str, Any]) -> bool:
    """What an event is about must not be left out because of what comes with it."""
    return part[0] not in ("exception", "logentry", "message")


class _Redaction:
    __slots__ = ("_done", "_frames", "_redacting", "_sections", "_source", "_vars", "_walk")

    def __init__(self, redacting: Redacting, done: list[Any]) -> None:
        # By identity: `done` keeps them.
        self._frames = {id(frame) for frame in done}
        self._done = done
        options = sentry_sdk.get_client().options or {}
        self._redacting = redacting
        self._walk = Walk(redacting, options.get("custom_repr"))
        # Their number is no reason to leave out what comes after them.
        self._vars = Walk(redacting)
        self._source = Source(redacting)
        self._sections: dict[str, _Part] = {
            "exception": lambda it: self._values(it, self._exception),
            "threads": lambda it: self._values(it, self._thread),
            "breadcrumbs": lambda it: self._values(it, self._crumb),
            "stacktrace": self._stack,
            "logentry": self._logentry,
            "request": self._request,
            "contexts": lambda it: self._parts(
                it,
                _KEPT_CONTEXTS,
                dict.fromkeys(_WITH_IDS, lambda context: self._parts(context, _IDS, {})),
            ),
            "tags": self._tags,
            "user": self._user,
            "extra": lambda it: self._walk.data(it, bag=True),
        }

    def of(self, event: Event) -> Event:
        changes: Event = {}
        for key, value in sorted(event.items(), key=_first):
            if key in _KEPT or value is None:
                continue
            try:
                found = self._sections.get(key, self._walk.data)(value)
            except Exception:
                count_failure("everylayer.redaction", with_stack=False)
                found = _CLOSED[key](value) if key in _CLOSED else FAILED
            if found is not value:
                changes[key] = found
        return {**event, **changes} if changes else event

    def _parts(self, item: Any, kept: frozenset[str], parts: Mapping[str, _Part]) -> Any:
        """Return `item` with each of its parts done as it must be; what has no form is data."""
        if isinstance(item, AnnotatedValue):
            inner = self._parts(item.value, kept, parts)
            return item if inner is item.value else AnnotatedValue(inner, item.metadata)
        if not isinstance(item, Mapping):
            return self._walk.data(item)
        given = {k: v for k, v in item.items() if k not in kept and v is not None}
        rest = {k: v for k, v in given.items() if k not in parts}
        changes = {k: parts[k](v) for k, v in given.items() if k in parts}
        changes = {k: v for k, v in changes.items() if v is not given[k]}
        found = self._walk.data(rest) if rest else rest
        if found is not rest:
            if not isinstance(found, dict):
                found = {"redaction": found}
            # Keys may have changed, too.
            return {**{k: v for k, v in item.items() if k not in rest}, **changes, **found}
        return {**item, **changes} if changes else item

    def _values(self, section: Any, part: _Part) -> Any:
        if isinstance(section, list):
            return self._each(section, part)
        return self._parts(section, frozenset(), {"values": lambda it: self._each(it, part)})

    def _each(self, items: Any, part: _Part) -> Any:
        if isinstance(items, AnnotatedValue):
            inner = self._each(items.value, part)
            return items if inner is items.value else AnnotatedValue(inner, items.metadata)
        if not isinstance(items, (list, tuple)):
            return self._walk.data(items)
        found = [part(item) for item in items]
        same = all(one is other for one, other in zip(found, items, strict=True))
        return items if same else found

    def _exception(self, item: Any) -> Any:
        return self._parts(
            item,
            _KEPT_OF_EXCEPTION,
            {
                "mechanism": lambda it: self._parts(it, _KEPT_OF_MECHANISM, {}),
                "stacktrace": self._stack,
                "raw_stacktrace": self._stack,
            },
        )

    def _thread(self, item: Any) -> Any:
        return self._parts(item, _KEPT_OF_THREAD, {"stacktrace": self._stack})

    def _stack(self, item: Any) -> Any:
        return self._parts(item, frozenset(), {"frames": lambda it: self._each(it, self._frame)})

    def _frame(self, frame: Any) -> Any:
        if id(frame) in self._frames:
            return frame
        if not isinstance(frame, Mapping):
            return self._vars.data(frame)
        changes = self._source.of(frame)
        given = frame.get("vars")
        # Older SDKs leave the objects themselves here until they serialise the event.
        raw = isinstance(given, dict) and any(type(v) not in _SERIALISED for v in given.values())
        found = self._vars.data(given, bag=raw)
        if found is not given:
            changes["vars"] = found
        kept = self._parts(frame, _DONE_OF_FRAME, {})
        kept = {**kept, **changes} if changes else kept
        self._done.append(kept)
        return kept

    def _crumb(self, item: Any) -> Any:
        return self._parts(
            item, _KEPT_OF_CRUMB, {"data": lambda it: self._walk.data(it, bag=True, depth=1)}
        )

    def _logentry(self, item: Any) -> Any:
        if not isinstance(item, Mapping) or not item.get("params"):
            return self._parts(item, frozenset(), {})
        return self._parts(
            item,
            frozenset(),
            {
                "message": self._template,
                "params": lambda it: params_of(item, self._redacting).data(it),
            },
        )

    def _template(self, item: Any) -> Any:
        """A placeholder after a sensitive name is no secret, and Sentry groups by the template."""
        if isinstance(item, str):
            found = self._redacting.redactor.find(item[:MOST], self._redacting.exact)
            if all(PLACEHOLDER.fullmatch(item, each.start, each.end) for each in found):
                return item if len(item) <= MOST else self._walk.data(item)
        return self._walk.data(item)

    def _request(self, item: Any) -> Any:
        def paired(it: Any) -> Any:
            return self._walk.data(it, pairs=True)

        return self._parts(
            item,
            frozenset({"method"}),
            {
                "cookies": lambda it: self._walk.data(
                    it, pairs=True, secret=self._walk.names("cookie")
                ),
                "headers": paired,
                "query_string": paired,
                "data": paired,
            },
        )

    def _tags(self, item: Any) -> Any:
        if not isinstance(item, Mapping):
            return self._walk.data(item, pairs=True)
        ours = frozenset(key for key in item if str(key).startswith(_OUR_TAGS))
        return self._parts(item, ours, {})

    def _user(self, item: Any) -> Any:
        told = {} if self._redacting.redactor.strict else dict.fromkeys(_IDENTITY, self._told)
        return self._parts(item, frozenset({"id"}), told)

    def _told(self, item: Any) -> Any:
        """What an app says of its user goes by values alone, not by rules."""
        if not self._redacting.exact or not isinstance(item, str):
            return item
        found = self._redacting.lines([item])[0]
        return item if found == item else found.strip()
