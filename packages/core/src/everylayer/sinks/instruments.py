"""The instruments, as docs/metrics.md lists them; units in UCUM."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from opentelemetry.metrics import CallbackOptions, Histogram, Meter, Observation

from .attributes import (
    DROP_REASON,
    FAILURE_PLACE,
    FRAMEWORK,
    LAYER_NAME,
    OUTCOME,
    PLACEMENT,
    REDACTION_RULE,
    TENANT,
    TRACE_STATE,
)
from .sums import Sums

Callback = Callable[[CallbackOptions], Iterable[Observation]]


class Described(NamedTuple):
    """An instrument: its name, unit, what it tells, and the attributes that it may have."""

    name: str
    kind: str
    unit: str
    description: str
    attributes: tuple[str, ...] = ()


ERRORS = Described(
    "everylayer.errors",
    "Counter",
    "{error}",
    "Errors observed, by the layer they began in and what became of them.",
    (LAYER_NAME, FRAMEWORK, OUTCOME, DROP_REASON),
)
PLACEMENTS = Described(
    "everylayer.error.placements",
    "ObservableCounter",
    "{error}",
    "Errors by the kind of span that they ended on, or why they ended on none.",
    (PLACEMENT, FRAMEWORK),
)
TRACES = Described(
    "everylayer.error.traces",
    "ObservableCounter",
    "{trace}",
    "Requests with an error, by whether the trace they came with is whole.",
    (TRACE_STATE, FRAMEWORK),
)
TENANTS = Described(
    "everylayer.tenant.errors",
    "ObservableCounter",
    "{error}",
    "Errors observed by tenant, where tenants are on.",
    (TENANT, OUTCOME),
)
DURATION = Described(
    "everylayer.recording.duration",
    "Histogram",
    "s",
    "Time that a failing request spends on judging, building and writing its errors.",
    (FRAMEWORK,),
)
REDACTIONS = Described(
    "everylayer.redactions",
    "ObservableCounter",
    "{redaction}",
    "Secrets replaced in what errors say, by the rule that found them.",
    (REDACTION_RULE,),
)
REQUESTS = Described(
    "everylayer.requests",
    "ObservableCounter",
    "{request}",
    "Requests that came in.",
)
FAILURES = Described(
    "everylayer.failures",
    "ObservableCounter",
    "{failure}",
    "Failures of everylayer itself, which no app notices.",
    (FAILURE_PLACE,),
)
ALL = (ERRORS, PLACEMENTS, TRACES, TENANTS, DURATION, REDACTIONS, REQUESTS, FAILURES)

# Recording takes 8 to 200 microseconds; what goes beyond a millisecond is worth a look.
BOUNDARIES = (1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 0.1)


class Instruments:
    """What is counted when an error is written."""

    __slots__ = ("duration", "errors", "placements", "redactions", "tenants", "traces")

    def __init__(self, meter: Meter, requests: Callback, failures: Callback) -> None:
        # The two that need the SDK at once: for exemplars, and for buckets.
        self.errors = meter.create_counter(ERRORS.name, ERRORS.unit, ERRORS.description)
        self.duration: Histogram = meter.create_histogram(
            DURATION.name,
            DURATION.unit,
            DURATION.description,
            explicit_bucket_boundaries_advisory=BOUNDARIES,
        )
        self.placements = Sums(PLACEMENTS.attributes)
        self.traces = Sums(TRACES.attributes)
        self.tenants = Sums(TENANTS.attributes)
        self.redactions = Sums(REDACTIONS.attributes)
        for each, callback in (
            (PLACEMENTS, self.placements),
            (TRACES, self.traces),
            (TENANTS, self.tenants),
            (REDACTIONS, self.redactions),
            (REQUESTS, requests),
            (FAILURES, failures),
        ):
            meter.create_observable_counter(each.name, [callback], each.unit, each.description)

    def begin_anew(self) -> None:
        """Forget what was counted before a fork."""
        for sums in (self.placements, self.traces, self.tenants, self.redactions):
            sums.begin_anew()
