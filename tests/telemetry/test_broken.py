"""Broken telemetry: the app serves as if nothing were there, whatever the SDK does."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from opentelemetry import context

from contract.responses import Raised, Run, differences
from contract.telemetry import error_events, server_span, session
from contract.versions import STREAMS_FAIL_IN_GROUPS
from everylayer import own_failures, settings
from kit_apps import BARE, BOTH, FRAMEWORKS, OURS, STOCK, Arm, call, served
from kit_broken import (
    BREAKAGES,
    Breakage,
    Broken,
    Hits,
    Processor,
    Stopped,
    Telemetry,
    telemetry,
)
from kit_faults import KINDS, message, watchers
from kit_foreign import ForeignProvider, ForeignSpan

pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnhandledThreadExceptionWarning",
    # Stock's own span, which it leaves open and the collector ends.
    "ignore::pytest.PytestUnraisableExceptionWarning",
    # A body that is never read to its end, since stock failed before it.
    "ignore:coroutine .* was never awaited",
)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """What the SDK writes about its own state is not what is tested; no context is handed on."""
    logging.disable(logging.CRITICAL)
    token = context.attach(context.Context())
    yield
    context.detach(token)
    logging.disable(logging.NOTSET)


@contextlib.contextmanager
def when(broken: Breakage, then: Callable[[], object]) -> Iterator[None]:
    """Let it happen now, or in each request that fails."""
    if not broken.during:
        then()
        yield
        return

    def during(_: BaseException) -> None:
        then()

    watchers.append(during)
    try:
        yield
    finally:
        watchers.remove(during)


def answers(framework: str, arm: Arm, broken: Breakage | None) -> tuple[dict[str, Run], Hits]:
    """Serve one request of each kind."""
    hits = Hits()
    if broken is None:
        with served(framework, arm) as app:
            return {kind: call(app, framework, f"/{kind}/1") for kind in KINDS}, hits
    found: dict[str, Run] = {}
    failures = sum(own_failures().values())
    with telemetry(broken, hits) as then, served(framework, arm) as app, when(broken, then):
        for kind in KINDS:
            token = context.attach(context.Context())
            found[kind] = call(app, framework, f"/{kind}/1")
            # Stock may leave its span in the context where its own processor fails.
            if not arm.stock and not broken.stops:
                assert not context.get_current(), "the context was not given back"
            # What stock has left holds generators that set the context when they are freed: not
            # while it is being set.
            left = context.get_current()
            context.detach(token)
            del left
        if broken.name == "batch exporter hangs":
            assert hits.blocked.wait(30), "the exporter was never called"
            assert not hits.release.is_set()
    if broken.harmless and not broken.stops:
        assert sum(own_failures().values()) == failures
    return found, hits


@pytest.fixture(scope="module")
def healthy() -> dict[tuple[str, Arm], dict[str, Run]]:
    """Return what the apps answer where nothing is broken."""
    return {
        (framework, arm): answers(framework, arm, None)[0]
        for framework in FRAMEWORKS
        for arm in (BARE, STOCK)
    }


def is_of_telemetry(raised: Raised | None) -> bool:
    return raised is not None and raised.type in (Broken, Stopped)


def changes_of(found: Run, bare: Run, *stock: Run) -> list[str]:
    """Return how `found` differs from the bare app; what stock does to it is no difference.

    Of an error of the telemetry's own that stock lets out, the frames are not compared.
    """
    changes = differences(bare, found)
    for alone in stock:
        its_own = is_of_telemetry(alone.raised) and is_of_telemetry(found.raised)
        pair = (replace(alone, raised=None), replace(found, raised=None)) if its_own else None
        if not differences(*(pair or (alone, found))):
            return []
    return changes


@pytest.mark.parametrize("broken", BREAKAGES, ids=str)
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_app_serves_as_if_nothing_were_there(
    framework: str,
    broken: Breakage,
    healthy: dict[tuple[str, Arm], dict[str, Run]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in broken.environ.items():
        monkeypatch.setenv(name, value)
    settings.reset()
    alone, _ = answers(framework, STOCK, broken)
    # No `Exception`: like stock, nothing here stops what may be meant for the app.
    assert broken.stops <= any(is_of_telemetry(run.raised) for run in alone.values())
    kinds = KINDS
    if framework == "starlette" and STREAMS_FAIL_IN_GROUPS:
        kinds = tuple(kind for kind in KINDS if kind != "stream")  # Stock's failure is grouped too.
    wrong: list[str] = []
    for arm in (OURS, BOTH):
        found, hits = answers(framework, arm, broken)
        assert hits.count or not broken.met, "no request met the broken part"
        for kind in kinds:
            stock = (alone[kind], healthy[framework, STOCK][kind]) if arm is BOTH else ()
            changes = changes_of(found[kind], healthy[framework, BARE][kind], *stock)
            if broken.stops and is_of_telemetry(found[kind].raised):
                continue
            wrong += [f"{arm}: {kind}: {change}" for change in changes]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("broken", BREAKAGES, ids=str)
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_next_request_is_recorded_once_telemetry_works_again(
    framework: str, broken: Breakage
) -> None:
    hits = Hits()
    with served(framework, OURS) as app:
        with telemetry(broken, hits) as then, when(broken, then):
            for kind in KINDS:
                call(app, framework, f"/{kind}/1")
        with session() as working:
            call(app, framework, "/view/2")
            found = error_events(working.spans)
            assert [
                e.event.attributes["exception.message"] for e in found if e.event.attributes
            ] == [message("view", "2")]
            assert found[0].span is server_span(working.spans)


@pytest.mark.parametrize("arm", [OURS, BOTH], ids=["alone", "stock"])
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_spans_of_another_make_show_the_errors_too(framework: str, arm: Arm) -> None:
    made: list[ForeignSpan] = []
    other = Breakage("another make", lambda _: (ForeignProvider(made.append), lambda: None))
    with telemetry(other, Hits()), served(framework, arm) as app:
        for kind in ("ok", "view", "layer", "answered"):
            made.clear()
            call(app, framework, f"/{kind}/1")
            found = [text for span in made for text in span.messages() if text != "None"]
            assert found == ([] if kind == "ok" else [message(kind, "1")])


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_failing_propagator_leaves_no_span_open(framework: str) -> None:
    open_spans: list[str] = []
    processor = Processor(
        on_start=lambda span, parent_context=None: open_spans.append(span.name),
        on_end=lambda span: open_spans.pop(),
    )
    propagates = next(each for each in BREAKAGES if each.name == "propagator raises")

    def make(hits: Hits) -> Telemetry:
        provider, break_it = propagates.make(hits)
        provider.add_span_processor(processor)
        return provider, break_it

    answers(framework, OURS, replace(propagates, make=make))
    assert not open_spans
