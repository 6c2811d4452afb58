"""Runs a chain with and without everylayer, and says what is wrong."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from importlib import import_module
from types import ModuleType
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import StatusCode

from contract.expect import MAX_MESSAGE_BYTES, MAX_STACK_BYTES
from contract.responses import Run, differences
from contract.telemetry import error_events, late_spans, reset, server_spans, trace_ids, tree
from everylayer import Settings, failsafe

from .expected import Outcome, Recorded
from .grammar import Chain, Step

_MODULES = {
    "asgi": "asgi_apps",
    "starlette": "asgi_apps",
    "fastapi": "asgi_apps",
    "flask": "wsgi_apps",
    "django": "django_apps",
    "django_async": "django_apps",
}

DEFAULT_MAX_EVENTS = Settings().max_events


def apps_of(framework: str) -> ModuleType:
    """Return the module that builds chains of `framework`; the others stay unimported."""
    return import_module(f"{__package__}.{_MODULES[framework]}")


@functools.lru_cache(maxsize=4096)
def _bare(framework: str, steps: tuple[Step, ...]) -> Run:
    """Serve without everylayer: what stands around a chain makes no difference then."""
    run: Run = apps_of(framework).serve(Chain(framework, steps), ours=False)
    return run


@contextmanager
def _without_sdk() -> Iterator[None]:
    # The interface lets a provider be set, once, and never be taken away.
    kept = trace._TRACER_PROVIDER
    trace._TRACER_PROVIDER = None
    try:
        yield
    finally:
        trace._TRACER_PROVIDER = kept


def problems(chain: Chain) -> list[str]:
    """Return what is wrong with `chain`, nothing when all is as the model says."""
    apps = apps_of(chain.framework)
    bare = _bare(chain.framework, chain.steps)
    telemetry = reset()
    failures = dict(failsafe.own_failures())
    with _without_sdk() if chain.setup == "none" else nullcontext():
        ours: Run = apps.serve(chain, ours=True)
    spans = telemetry.spans
    found = [
        f"the app changed: {change}" for change in differences(*_comparable(chain, bare, ours))
    ]
    expected = Outcome(server=False) if chain.setup == "none" else apps.expect(chain)
    wrong = _trace_problems(expected, spans, chain.max_events or DEFAULT_MAX_EVENTS)
    if wrong:
        found += [*wrong, f"the trace:\n{tree(spans)}"]
    if failsafe.own_failures() != failures:
        found.append(f"failures of ours: {dict(failsafe.own_failures())}")
    return found


def finish() -> None:
    """Put the process back as it was before the first chain."""
    _bare.cache_clear()
    for name in set(_MODULES.values()):
        module = sys.modules.get(f"{__package__}.{name}")
        if module is not None:
            module.finish()


def _comparable(chain: Chain, *runs: Run) -> list[Run]:
    """Leave out the way that an exception took, where others leave frames in it.

    Before 3.11 that are ours; stock's Django middleware is wrapped by Django as all are; FastAPI
    has frames of its own for its telemetry.
    """
    ours_stay = sys.version_info < (3, 11)
    wrapped = chain.framework.startswith("django") and chain.setup == "stock"
    if not (ours_stay or wrapped or chain.setup == "native"):
        return list(runs)
    return [
        run if run.raised is None else replace(run, raised=replace(run.raised, functions=()))
        for run in runs
    ]


def _trace_problems(
    expected: Outcome, spans: tuple[ReadableSpan, ...], max_events: int
) -> list[str]:
    found: list[str] = []
    servers = server_spans(spans)
    if len(servers) != expected.server:
        found.append(f"{len(servers)} server spans, expected {int(expected.server)}")
    if len(trace_ids(spans)) > 1:
        found.append(f"{len(trace_ids(spans))} traces")
    late = late_spans(spans)
    too_many = len(expected.on_server) + len(expected.late) - max_events
    if too_many > 0:
        found += _budget_problems(expected, servers, late, too_many)
    else:
        found += _event_problems("server span", expected.on_server, servers)
        found += _event_problems("late spans", expected.late, late)
    if len(error_events(spans)) != len(error_events([*servers, *late])):
        found.append("events on spans that are neither the server's nor late")
    found += [wrong for span in late for wrong in _late_problems(span, servers)]
    for span in servers:
        failed = span.status.status_code is StatusCode.ERROR
        if expected.failed is not None and failed is not expected.failed:
            found.append(f"server span failed: {failed}, expected {expected.failed}")
        if any(e.handled is False for e in expected.on_server) and not span.status.description:
            found.append("no status description")
    return found


def _late_problems(span: ReadableSpan, servers: list[ReadableSpan]) -> list[str]:
    found: list[str] = []
    names = {(event.attributes or {}).get("everylayer.layer.name") for event in span.events}
    if names != {span.name.removesuffix(" (late)")} or len(span.events) != 1:
        found.append(f"late span {span.name!r} tells of {names}")
    if span.status.status_code is not StatusCode.ERROR:
        found.append(f"late span {span.name!r} is not ERROR")
    parent = span.parent.span_id if span.parent else None
    if parent not in [server.get_span_context().span_id for server in servers]:
        found.append(f"late span {span.name!r} is not the server span's child")
    return found


def _event_problems(where: str, expected: list[Recorded], spans: list[ReadableSpan]) -> list[str]:
    events = [found.event for found in error_events(spans)]
    shown = [_shown(event) for event in events]
    if len(shown) != len(expected) or not all(map(_fits, shown, expected)):
        return [f"{where}: {_told(shown)}, expected {_told(expected)}"]
    return [f"{where}: {wrong}" for event in events for wrong in _text_problems(event)]


def _budget_problems(
    expected: Outcome, servers: list[ReadableSpan], late: list[ReadableSpan], too_many: int
) -> list[str]:
    """Check that what there is room for is there, in order, failures first."""
    found: list[str] = []
    room = len(expected.on_server) + len(expected.late) - too_many
    kept = [[found.event for found in error_events(spans)] for spans in (servers, late)]
    if sum(map(len, kept)) != room:
        found.append(f"{sum(map(len, kept))} events, expected {room}")
    for events, wanted in zip(kept, (expected.on_server, expected.late), strict=True):
        rest = iter(wanted)
        shown = [_shown(event) for event in events]
        if not all(any(_fits(event, each) for each in rest) for event in shown):
            found.append(f"within the budget: {_told(shown)}, expected some of {_told(wanted)}")
        found += [wrong for event in events for wrong in _text_problems(event)]
    failed = any(e.handled is False for e in expected.on_server)
    if failed and all(_shown(event).handled for event in kept[0]):
        found.append("what was handled took the room of what failed")
    for span in servers:
        dropped = (span.attributes or {}).get("everylayer.exceptions.dropped")
        # What no longer fits on the page counts, though it might have come to nothing.
        overflown = expected.sighted >= 2 * room
        counted = dropped == too_many or (overflown and (dropped or 0) > too_many)
        if not expected.late and not counted:
            found.append(f"{dropped} events counted as dropped, expected {too_many}")
    return found


def _shown(event: Event) -> Recorded:
    attributes: Any = event.attributes or {}
    return Recorded(
        attributes.get("exception.type"),
        attributes.get("exception.message"),
        attributes.get("everylayer.layer.name"),
        attributes.get("everylayer.handled"),
    )


def _fits(shown: Recorded, expected: Recorded) -> bool:
    return (
        shown.type == expected.type
        and _message_fits(shown.message, expected.message)
        and _layer_fits(shown.layer, expected.layer)
        and expected.handled in (None, shown.handled)
    )


def _layer_fits(shown: str | None, expected: str | None) -> bool:
    if shown is None or expected is None or sys.version_info >= (3, 11):
        return expected in (None, shown)
    # A frame does not know the qualified name of its function yet.
    return shown.rpartition(".")[2] == expected.rpartition(".")[2]


def _message_fits(shown: str | None, expected: str | None) -> bool:
    if shown is None or expected is None:
        return bool(shown)
    if len(expected) <= MAX_MESSAGE_BYTES:
        return shown == expected
    return (
        len(shown.encode()) <= MAX_MESSAGE_BYTES
        and shown[:100] == expected[:100]
        and shown[-100:] == expected[-100:]
    )


def _text_problems(event: Event) -> list[str]:
    stack = str((event.attributes or {}).get("exception.stacktrace"))
    found = []
    if len(stack.encode("utf-8", "surrogatepass")) > MAX_STACK_BYTES:
        found.append(f"a stack of {len(stack)} characters")
    if "Traceback" not in stack and "Exception Group" not in stack:
        found.append(f"no stack: {stack!r:.200}")
    for value in (event.attributes or {}).values():
        if isinstance(value, str) and value.encode("utf-8", "replace").decode() != value:
            found.append("invalid UTF-8")
    return found


def _told(events: list[Recorded]) -> str:
    return str([f"{e.type}: {e.message!r:.40} {e.layer} {e.handled}" for e in events])
