"""The panels, in the order in which an operator asks."""

from __future__ import annotations

from collections.abc import Iterator

from grafana_foundation_sdk.models.common import ScaleDistribution

import links
import queries as q
from panels import GREEN, ORANGE, RED, YELLOW, Kind, Query, Step, bars, lines, number

_PERCENT, _SECONDS, _PER_SECOND, _COUNT = "percentunit", "s", "cps", "short"
_WINDOWS = (("5m", "5 minutes"), ("1h", "an hour"), ("6h", "6 hours"), ("3d", "3 days"))


def numbers() -> Iterator[Kind]:
    """What is to be seen at a glance."""
    yield number(
        "Completeness",
        "Of the requests with an error, how many are on a whole trace. Objective: 99.5 %.",
        Query(q.COMPLETENESS),
        _PERCENT,
        [Step(None, RED), Step(0.99, ORANGE), Step(q.OBJECTIVE, GREEN)],
        decimals=2,
    )
    yield number(
        "Error budget left, 30 days",
        "Of the 0.5 % that may be broken in 30 days, for the job that has least left.",
        Query(q.BUDGET_LEFT),
        _PERCENT,
        [Step(None, RED), Step(0.1, ORANGE), Step(0.5, GREEN)],
        decimals=0,
    )
    yield number(
        "Requests with an error",
        "Handled ones too.",
        Query(q.FAILING),
        _PERCENT,
        [Step(None, "text")],
        decimals=1,
    )
    yield number(
        "Alerts firing",
        "What each means, and what to do: docs/runbook.md.",
        Query(q.ALERTS),
        _COUNT,
        [Step(None, GREEN), Step(1, RED)],
        decimals=0,
    )


def service_level() -> Iterator[Kind]:
    """Is every error on a whole trace?"""
    yield lines(
        "Completeness, over 5 minutes",
        "Where a loss began, and in which job. The line is the objective.",
        [Query(q.COMPLETENESS_BY_JOB, "{{job}}")],
        _PERCENT,
        steps=[Step(None, RED), Step(q.OBJECTIVE, GREEN)],
        bounds=(0.98, 1),
        no_value="no error",
    )
    yield lines(
        "Burn rate",
        "How many times faster than allowed the worst job spends its budget. A page: 14.4 over an "
        "hour and still over 5 minutes, or 6 over 6 hours. A ticket: 3 over a day, 1 over 3 days.",
        [Query(q.burn(window), said) for window, said in _WINDOWS],
        "suffix: x",
        steps=[Step(None, GREEN), Step(1, YELLOW), Step(6, ORANGE), Step(14.4, RED)],
        scale=ScaleDistribution.SYMLOG,
        no_value="no error",
    )
    yield lines(
        "Broken traces, by what was lost",
        "The runbook has the usual cause of each.",
        [Query(q.BROKEN_BY_STATE, "{{everylayer_trace_state}}")],
        _PER_SECOND,
        stacked=True,
        colors={"no_parent": RED, "lost_trace_id": ORANGE, "lost_sampling_flag": "purple"},
    )


def errors(traces: links.Traces) -> Iterator[Kind]:
    """What fails?"""
    yield bars(
        "Errors by layer, top 10",
        "Where they began. A click leads to their traces, or to Sentry's issues of the layer.",
        Query(q.LAYERS, "{{everylayer_layer_name}} ({{job}})"),
        _COUNT,
        [links.to_traces(traces), links.to_sentry()],
    )
    yield lines(
        "Handled against escaped",
        "Escaped: the request failed. A dot is one error, and leads to its trace.",
        [Query(q.OUTCOMES, "{{everylayer_outcome}}", exemplar=True)],
        _PER_SECOND,
        stacked=True,
        colors={"escaped": RED, "handled": "blue"},
    )
    yield lines(
        "Late and detached",
        "After the end of the request's span, or in work that nobody waits for: no response "
        "shows them.",
        [Query(q.LATE, "{{everylayer_outcome}} ({{job}})", exemplar=True)],
        _PER_SECOND,
        stacked=True,
    )


def fates() -> Iterator[Kind]:
    """What becomes of the errors?"""
    yield lines(
        "Where errors ended",
        "On the request's span, on a late child, or why on none.",
        [Query(q.PLACEMENTS, "{{everylayer_placement}}")],
        _PER_SECOND,
        stacked=True,
        colors={
            "span": GREEN,
            "late_span": "blue",
            "not_sampled": YELLOW,
            "no_span": ORANGE,
            "span_ended": "purple",
            "sink_failed": RED,
        },
    )
    yield lines(
        "Left out, by reason",
        "Beyond the setting max_events (budget), or twice that (crowded), of one request.",
        [Query(q.DROPS, "{{everylayer_drop_reason}}")],
        _PER_SECOND,
        stacked=True,
    )
    yield lines(
        "Redactions, by rule",
        "Secrets replaced in what errors say. Where a rule suddenly finds more, a message quotes "
        "what it should not.",
        [Query(q.REDACTIONS, "{{everylayer_redaction_rule}}")],
        _PER_SECOND,
        stacked=True,
    )


def itself() -> Iterator[Kind]:
    """What does everylayer cost, and does it fail?"""
    yield lines("Requests", "All that came in.", [Query(q.REQUESTS, "{{job}}")], "reqps")
    yield lines(
        "Recording, of a failing request",
        "What judging, building and writing its errors takes.",
        [
            Query(q.duration(0.5), "median"),
            Query(q.duration(0.95), "95 %"),
            Query(q.duration(0.99), "99 %"),
        ],
        _SECONDS,
        scale=ScaleDistribution.LOG,
        bounds=(None, None),
        colors={"median": GREEN, "95 %": ORANGE, "99 %": RED},
    )
    yield lines(
        "Recording, of one core",
        "The share of one core's time that goes into recording errors.",
        [Query(q.CORE_SHARE, "{{job}}")],
        _PERCENT,
    )
    yield lines(
        "Failures of everylayer itself",
        "The app does not notice. The first one of a place is in the log, with its stack.",
        [Query(q.FAILURES, "{{everylayer_failure_place}}")],
        _COUNT,
    )
