"""What the page shows: a report, or the traces of a file, as values for JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..model import Answer, ChainNode, Report, Row, SpanData, Trial, Verdict, Visit, to_json
from .totals import TELEMETRY, totals
from .waterfall import plain, traces, waterfall

_QUESTIONS = ("event", "message", "stack", "status", "once", "response", "context")


def report_view(report: Report) -> dict[str, Any]:
    """Return a whole audit."""
    return {
        "view": "report",
        "target": report.target,
        "framework": report.framework,
        "method": report.request.method,
        "path": report.request.path,
        "chain": [_node(node) for node in report.chain],
        "rows": [_row(row) for row in report.rows],
        "totals": totals(report),
        "findings": [to_json(finding) for finding in report.findings],
        "versions": report.versions,
        "noStock": report.stock,
        "seconds": plain(report.seconds),
    }


def traces_view(name: str, spans: Iterable[SpanData]) -> dict[str, Any]:
    """Return the traces of a file, those with an error first, then by their start."""
    found = [_trace(trace_id, members) for trace_id, members in traces(spans).items()]
    found.sort(key=lambda trace: (not trace["failed"], trace["started"]))
    for trace in found:
        trace["started"] = str(trace["started"])
    return {"view": "traces", "name": name, "traces": found}


def state(verdict: Verdict | None) -> str:
    """Return in one word what became of an error.

    `ok`, `lost` (no event), `wrong` (an event, but not as it should be), `unreached` (the fault
    was never put) or `absent` (nothing was tried).
    """
    if verdict is None:
        return "absent"
    if not verdict.reached:
        return "unreached"
    if verdict.ok:
        return "ok"
    return "lost" if verdict.event is False else "wrong"


def _node(node: ChainNode) -> dict[str, Any]:
    return {**to_json(node), "inner": [_node(inner) for inner in node.inner]}


def _row(row: Row) -> dict[str, Any]:
    fault = row.fault
    parts = [fault.node, fault.phase, fault.shape]
    return {
        "id": "/".join(parts if fault.error == "error" else [*parts, fault.error]),
        "node": fault.node,
        "phase": fault.phase,
        "shape": fault.shape,
        "error": fault.error,
        "token": fault.token,
        "bare": _answer(row.bare),
        "arms": {arm: _arm(row.trials.get(arm), row.verdicts.get(arm)) for arm in TELEMETRY},
    }


def _arm(trial: Trial | None, verdict: Verdict | None) -> dict[str, Any]:
    shown: dict[str, Any] = {"state": state(verdict)}
    if verdict is not None:
        shown["asked"] = {question: getattr(verdict, question) for question in _QUESTIONS}
        shown["why"] = list(verdict.why)
    if trial is not None:
        shown["answer"] = _answer(trial.answer)
        shown["visits"] = [_visit(visit) for visit in trial.visits]
        shown["ownFailures"] = trial.own_failures
        shown["leftover"] = trial.leftover
        shown["traces"] = [
            {"id": trace_id, "spans": waterfall(spans)}
            for trace_id, spans in traces(trial.spans).items()
        ]
    return shown


def _answer(answer: Answer) -> dict[str, Any]:
    return {"status": answer.code or answer.status, "size": answer.size, "escaped": answer.escaped}


def _visit(visit: Visit) -> dict[str, Any]:
    return {
        "node": visit.node,
        "phase": visit.phase,
        "span": visit.span_id,
        "recording": visit.recording,
        "thread": visit.thread,
        "task": visit.task,
    }


def _trace(trace_id: str, spans: list[SpanData]) -> dict[str, Any]:
    drawn = waterfall(spans)
    last = max((span["at"] + (span["lasts"] or 0) for span in drawn), default=0)
    failing = [event for span in spans for event in span.events if event.name == "exception"]
    return {
        "id": trace_id,
        "started": min(span.start for span in spans),
        "lasts": last,
        "failed": bool(failing) or any(span.status == "ERROR" for span in spans),
        "errors": list(
            dict.fromkeys(str(plain(e.attributes.get("exception.type", ""))) for e in failing)
        ),
        "spans": drawn,
    }
