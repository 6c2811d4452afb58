"""What becomes of a request's errors, counted once, the same under each framework."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from opentelemetry import propagate
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

import everylayer
from contract.drive import run_asgi, scope
from contract.telemetry import Telemetry
from everylayer import failsafe
from everylayer.boundaries.bounded import BoundedValues
from everylayer.sinks import metrics, span_event
from everylayer_starlette import EveryLayerMiddleware
from metrics_apps import KINDS, RefusedError, endpoint, serving
from metrics_reading import Reading, Series

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CAME = ("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01")
UNSAMPLED = ("traceparent", f"00-{TRACE}-00f067aa0ba902b7-00")


class Strange(TextMapPropagator):
    """Takes every request for one of another trace."""

    def extract(self, carrier: Any, context: Context | None = None, getter: Any = None) -> Context:
        came = SpanContext(7, 7, is_remote=True, trace_flags=TraceFlags(1))
        return set_span_in_context(NonRecordingSpan(came), context)

    def inject(self, carrier: Any, context: Context | None = None, setter: Any = None) -> None:
        return

    @property
    def fields(self) -> set[str]:
        return set()


class Deaf(Strange):
    """Takes no request for one of any trace."""

    def extract(self, carrier: Any, context: Context | None = None, getter: Any = None) -> Context:
        return context or Context()


W3C = TraceContextTextMapPropagator()


class Case(NamedTuple):
    """A request, and what is counted for it: outcome, placement and state of the trace."""

    url: str
    outcome: str
    placement: str
    state: str
    header: tuple[str, str] = CAME
    propagator: TextMapPropagator = W3C
    stock: bool = True
    sampled: bool = True
    rules: tuple[tuple[str, Any], ...] = ()
    not_for: tuple[str, ...] = ()


CASES = {
    "escaped": Case("/fail", "escaped", "span", "whole"),
    "escaped-own-span": Case("/fail", "escaped", "span", "whole", stock=False),
    "first-of-its-trace": Case("/fail", "escaped", "span", "whole", ("x-none", "")),
    "malformed": Case("/fail", "escaped", "span", "whole", ("traceparent", "00-zz-1-01")),
    "handled": Case("/handled", "handled", "span", "whole"),
    "late": Case("/late", "late", "late_span", "whole", not_for=("grpc",)),
    "not-sampled": Case("/fail", "escaped", "not_sampled", "whole", UNSAMPLED),
    "late-not-kept": Case(
        "/late",
        "late",
        "span_ended",
        "whole",
        rules=(("late_spans", False),),
        not_for=("grpc",),
    ),
    "no-span": Case(
        "/fail",
        "escaped",
        "no_span",
        "lost_trace_id",
        stock=False,
        rules=(("server_span", False),),
    ),
    "no-parent": Case("/fail", "escaped", "span", "no_parent", propagator=Deaf()),
    "lost-trace-id": Case("/fail", "escaped", "span", "lost_trace_id", propagator=Strange()),
    "lost-sampling-flag": Case(
        "/fail", "escaped", "not_sampled", "lost_sampling_flag", sampled=False
    ),
}
TABLE = [
    pytest.param(kind, case, id=f"{kind}-{name}")
    for kind in KINDS
    for name, case in CASES.items()
    if kind not in case.not_for
]


def summed(found: Series, keep: int) -> dict[str, float]:
    """Add up what differs in other attributes than the one at `keep`."""
    sums: dict[str, float] = {}
    for labels, value in found.items():
        sums[labels[keep]] = sums.get(labels[keep], 0) + value
    return sums


@pytest.mark.parametrize(("kind", "case"), TABLE)
def test_an_error_is_counted_once(kind: str, case: Case, reading: Reading) -> None:
    before = propagate.get_global_textmap()
    propagate.set_global_textmap(case.propagator)
    provider = None if case.sampled else TracerProvider(sampler=ALWAYS_OFF)
    try:
        with serving(kind, stock=case.stock, provider=provider, **dict(case.rules)) as serve:
            serve(case.url, [case.header])
        found = reading.series()
    finally:
        propagate.set_global_textmap(before)
    framework = KINDS[kind]
    assert [labels[::2] for labels in found["everylayer.errors"]] == [(framework, case.outcome)]
    assert set(found["everylayer.errors"].values()) == {1}
    assert found["everylayer.error.placements"] == {(framework, case.placement): 1}
    assert found["everylayer.error.traces"] == {(framework, case.state): 1}
    assert found["everylayer.recording.duration"] == {(framework,): 1}
    assert found["everylayer.requests"] == {(): 1}
    assert "everylayer.failures" not in found


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_that_works_is_counted_and_nothing_else(kind: str, reading: Reading) -> None:
    with serving(kind) as serve:
        for _ in range(5):
            serve("/ok", [CAME])
    assert reading.series() == {"everylayer.requests": {(): 5}}


@pytest.mark.parametrize("kind", KINDS)
def test_what_there_is_no_room_for_is_counted_with_its_reason(kind: str, reading: Reading) -> None:
    everylayer.configure(max_events=2)
    with serving(kind) as serve:
        serve("/many", [CAME])
    errors = reading.series()["everylayer.errors"]
    # The app itself has recorded them, before any seam saw an error.
    assert errors == {
        ("none", "loop", "handled"): 2,
        ("budget", "none", "dropped"): 2,
        ("crowded", "none", "dropped"): 8,
    }


@pytest.mark.parametrize("kind", KINDS)
def test_secrets_are_counted_by_rule(kind: str, reading: Reading) -> None:
    with serving(kind) as serve:
        serve("/secret", [])
    found = reading.series()["everylayer.redactions"]
    assert found.keys() == {("named",)}


@pytest.mark.parametrize("kind", KINDS)
def test_tenants_are_counted_apart_and_bounded(kind: str, reading: Reading) -> None:
    if kind == "grpc":
        pytest.skip("gRPC reads no tenants")
    everylayer.configure(max_tenants=2)
    with serving(kind, tenant="header") as serve:
        for name in ("acme", "bolt", "crow", "acme", "dune"):
            serve("/fail", [("X-Tenant-ID", name)])
        serve("/fail", [])
    found = reading.series()
    assert found["everylayer.tenant.errors"] == {
        ("acme", "escaped"): 2,
        ("bolt", "escaped"): 1,
        ("other", "escaped"): 2,
    }
    assert sum(found["everylayer.errors"].values()) == 6


@pytest.mark.parametrize("kind", KINDS)
def test_off_counts_nothing_of_the_app(kind: str, reading: Reading) -> None:
    with serving(kind, metrics=False) as serve:
        serve("/fail", [CAME])
    assert reading.series().keys() <= {"everylayer.requests"}


def test_work_that_is_forgotten_is_detached(reading: Reading, telemetry: Telemetry) -> None:
    with serving("flask", detached="record") as serve:
        serve("/forgotten", [CAME])
    telemetry.wait(lambda spans: len(spans) > 1)
    found = reading.series()
    assert summed(found["everylayer.errors"], -1) == {"detached": 1}
    assert summed(found["everylayer.error.placements"], -1) == {"late_span": 1}


@pytest.mark.parametrize("broken", ["write", "build"])
def test_a_sink_that_fails_is_counted(
    broken: str, failures: int, reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    if broken == "write":
        monkeypatch.setattr(span_event, "write", fail)
    else:
        monkeypatch.setattr("everylayer.writer.build", fail)
    with serving("flask") as serve:
        serve("/fail", [CAME])
    found = reading.series()
    assert found["everylayer.error.placements"] == {("flask", "sink_failed"): 1}
    assert sum(failsafe.own_failures().values()) == failures + 1
    assert sum(found["everylayer.failures"].values()) == 1


def test_layers_beyond_the_limit_are_other(
    reading: Reading, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(metrics, "_layers", BoundedValues(1, name="layers"))
    with serving("flask") as serve:
        for url in ("/many", "/fail", "/fail"):
            serve(url, [])
    errors = reading.series()["everylayer.errors"]
    assert {labels[:2] for labels in errors if labels[-1] != "dropped"} == {
        ("none", "loop"),
        ("flask", "other"),
    }
    assert caplog.text.count("1 different layers") == 1


def test_a_count_names_its_trace(reading: Reading, telemetry: Telemetry) -> None:
    with serving("flask") as serve:
        serve("/fail", [CAME])
    (point,) = reading.take()["everylayer.errors"].data.data_points
    assert [f"{e.trace_id:032x}" for e in point.exemplars] == [TRACE]


def test_a_layer_that_leaves_the_trace_breaks_it(reading: Reading, telemetry: Telemetry) -> None:
    tracer = telemetry.provider.get_tracer("app")

    class Leaving:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, *message: Any) -> None:
            with tracer.start_as_current_span("another", context=Context()):
                await self.app(*message)

    app = Starlette(
        routes=[Route("/fail", endpoint("fail"))],
        middleware=[Middleware(EveryLayerMiddleware), Middleware(Leaving)],
    )
    run_asgi(app, scope("/fail", [CAME]))
    assert reading.series()["everylayer.error.traces"] == {("starlette", "lost_trace_id"): 1}


def test_an_asgi_framework_with_a_package_of_its_own_has_its_name(reading: Reading) -> None:
    from litestar import Litestar, get

    from everylayer_litestar import EveryLayerPlugin

    @get("/")
    async def broken() -> None:
        raise RefusedError

    run_asgi(Litestar([broken], plugins=[EveryLayerPlugin()], openapi_config=None), scope())
    [labels] = reading.series()["everylayer.errors"]
    assert "litestar" in labels
