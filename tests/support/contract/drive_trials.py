"""Faults of an audit, put one after the other into an app that this process has opened."""

from __future__ import annotations

from collections.abc import Mapping

from contract.telemetry import Telemetry
from everylayer.audit.adapter import Opened
from everylayer.audit.injected import InjectedFault
from everylayer.audit.model import Arm, Fault, Phase, Request, Shape, SpanData, Trial
from everylayer.audit.plan import LOOK
from everylayer.audit.store import span_data
from everylayer.audit.trial import run_trials
from everylayer.audit.verdict import judge
from everylayer.sinks.attributes import EXCEPTION_TYPE, LAYER_NAME


class Kept:
    """The spans of the test's own SDK, as the audit asks for them."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    def reset(self) -> None:
        self._telemetry.clear()

    def spans(self) -> tuple[SpanData, ...]:
        return tuple(map(span_data, self._telemetry.spans))


def tried(app: Opened, arm: Arm, shape: Shape, kept: Kept, path: str = "/") -> dict[Fault, Trial]:
    """Return a look, and what comes of a fault at each place of `app`."""
    places: list[tuple[str, Phase]] = list(app.chain.points)
    faults = [
        LOOK,
        *(Fault(node, phase, shape, f"fault-{node}-{phase}") for node, phase in places),
    ]
    trials = list(run_trials(app, app.request or Request(path=path), faults, arm, kept))
    return dict(zip(faults, trials, strict=True))


def all_arrived(bare: Mapping[Fault, Trial], ours: Mapping[Fault, Trial]) -> list[Fault]:
    """Return the faults that the app met; each has arrived whole, and changed no answer."""
    assert ours[LOOK].answer == bare[LOOK].answer
    reached = [fault for fault in bare if fault.error == "error" and bare[fault].reached]
    for fault in reached:
        answer = bare[fault].answer
        verdict = judge(fault, (answer, answer), ours[fault])
        assert verdict.ok, (fault, verdict.why)
        assert verdict.event, fault
    return reached


def layer_of(trial: Trial) -> str:
    """Return the layer that the fault's event names, "" where there is none."""
    events = (event for span in trial.spans for event in span.events)
    named = (
        str(event.attributes[LAYER_NAME])
        for event in events
        if LAYER_NAME in event.attributes
        and str(event.attributes.get(EXCEPTION_TYPE, "")).endswith(InjectedFault.__name__)
    )
    return next(named, "")
