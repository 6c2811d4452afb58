"""The integrity of a run: what is lost or wrong shows, and what is whole passes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from everylayer import cli
from everylayer.audit.model import SpanData, SpanEvent
from everylayer.chaos.command import integrity
from everylayer.chaos.integrity import Integrity, check
from everylayer.chaos.journal import Entry, Injected, Journal, Seen


def trace_of(number: int) -> str:
    return f"{number:032x}"


def token_of(number: int) -> str:
    return f"chaos-{number:04x}"


def event(number: int, handled: bool | None = False) -> SpanEvent:
    values: dict[str, Any] = {"exception.message": f"{token_of(number)}: fault in Auth"}
    if handled is not None:
        values["everylayer.handled"] = handled
    return SpanEvent("exception", 0, values)


def server(number: int, answer: int | None = 200, **fields: Any) -> SpanData:
    attributes = {} if answer is None else {"http.response.status_code": answer}
    given = {"kind": "SERVER", "attributes": attributes, "status": "UNSET", **fields}
    return SpanData("GET /", trace_of(number), f"{number:016x}", **given)


def failed(number: int, **fields: Any) -> SpanData:
    return server(number, 500, **{"status": "ERROR", "events": (event(number),), **fields})


def seen(number: int) -> Seen:
    return Seen(trace_of(number), f"{number:016x}")


def fault(number: int, **fields: Any) -> Injected:
    return Injected(trace_of(number), "Auth", "before", token_of(number), **fields)


def run_of(many: int, faults: int) -> tuple[list[Any], list[SpanData]]:
    """A run in which nothing is lost."""
    journal = [seen(n) for n in range(1, many + 1)] + [fault(n) for n in range(1, faults + 1)]
    spans = [failed(n) if n <= faults else server(n) for n in range(1, many + 1)]
    return journal, spans


def wrong(result: Integrity) -> dict[str, tuple[str, ...]]:
    return {each.name: each.failed for each in result.checks if not each.ok}


def test_a_whole_run_passes() -> None:
    result = check(*run_of(100, 20))
    assert wrong(result) == {}
    assert result.ok
    assert result.exit_code == 0
    assert (result.requests, result.faults, result.deviation) == (100, 20, 0)
    assert (result.spans_expected, result.spans_found) == (100, 100)


def test_a_run_of_nothing_does_not_pass() -> None:
    result = check([], [])
    assert wrong(result) == {"something to check": ()}
    assert result.exit_code == 1


def test_spans_of_others_do_not_count() -> None:
    journal, spans = run_of(10, 2)
    inner = SpanData("GET", trace_of(3), "c" * 16, f"{3:016x}", kind="CLIENT")
    other = SpanData("GET", trace_of(3), "d" * 16, "c" * 16, kind="SERVER")
    assert check(journal, [*spans, inner, other, server(999)]).ok
    # Nor where chaos could not see which span is the server's.
    unknown = [Seen(entry.trace_id) if isinstance(entry, Seen) else entry for entry in journal]
    assert check(unknown, [*spans, inner, other, server(999)]).ok


@pytest.mark.parametrize(("missing", "ok"), [(2, True), (3, False)])
def test_the_number_of_spans_may_differ_by_two_in_a_hundred(missing: int, ok: bool) -> None:
    journal, spans = run_of(100, 0)
    # Their traces are not lost: another span of each is there.
    others = [SpanData("work", trace_of(n), "e" * 16) for n in range(1, missing + 1)]
    result = check(journal, [*spans[missing:], *others])
    assert result.ok is ok
    assert result.deviation == pytest.approx(missing / 100)
    doubled = check(journal, [*spans, *spans[:missing]])
    assert doubled.ok is ok
    assert check(journal, [*spans[missing:], *others], max_deviation=0.03).ok


def test_who_knows_the_number_of_spans_may_say_it() -> None:
    journal, spans = run_of(10, 0)
    children = [SpanData("query", trace_of(n), "f" * 16) for n in range(1, 11)]
    assert check(journal, spans + children, expected_spans=20).ok
    result = check(journal, spans, expected_spans=20)
    assert (result.spans_found, result.deviation) == (10, 0.5)
    assert "span count deviation" in wrong(result)
    assert check([seen(1)], [server(1)], expected_spans=0).deviation == 1.0


def test_one_lost_trace_fails_the_run() -> None:
    journal, spans = run_of(1_000, 5)
    result = check(journal, spans[:-1])
    assert wrong(result) == {"lost trace ids": (trace_of(1_000),)}


def test_what_was_not_sampled_is_not_expected() -> None:
    journal, spans = run_of(10, 2)
    unsampled: list[Entry] = [Seen(trace_of(50), sampled=False), fault(50, sampled=False)]
    result = check([*journal, *unsampled], spans)
    assert result.ok
    assert (result.requests, result.faults) == (10, 2)


def test_an_error_that_is_on_no_span_of_its_trace_fails_the_run() -> None:
    journal, spans = run_of(10, 2)
    spans[0] = failed(1, events=())
    spans[4] = server(5, events=(event(1),))
    assert wrong(check(journal, spans)) == {
        "errors on their trace": (token_of(1),),
        "error status passed through": (token_of(1),),
    }


def test_a_message_of_its_own_may_hide_the_token_where_the_stack_has_it() -> None:
    values = {"exception.message": "sold out", "exception.stacktrace": f"... {token_of(1)}"}
    span = failed(1, events=(SpanEvent("exception", 0, values),))
    assert check([seen(1), fault(1)], [span]).ok
    other = failed(1, events=(SpanEvent("log", 0, values),))
    assert not check([seen(1), fault(1)], [other]).ok


@pytest.mark.parametrize(
    ("span", "passed"),
    [
        (failed(1), True),
        (failed(1, status="UNSET"), False),
        # Nothing was answered.
        (server(1, None, status="ERROR", events=(event(1),)), True),
        (server(1, None, events=(event(1),)), False),
        # It escaped after the response had begun.
        (server(1, 200, status="ERROR", events=(event(1),)), True),
        (server(1, 200, events=(event(1),)), False),
        # A layer has dealt with it.
        (server(1, 200, events=(event(1, True),)), True),
        (server(1, 200, status="ERROR", events=(event(1, True),)), False),
        (server(1, 503, status="ERROR", events=(event(1, True),)), True),
        (server(1, 503, events=(event(1, True),)), False),
        # Another error of the same request was not dealt with.
        (server(1, 200, status="ERROR", events=(event(1, True), event(2))), True),
        # Stock says nothing of what became of it.
        (server(1, 500, status="ERROR", events=(event(1, None),)), True),
        (server(1, 500, events=(event(1, None),)), False),
        (server(1, 200, status="ERROR", events=(event(1, None),)), False),
    ],
)
def test_the_status_that_follows_from_the_outcome(span: SpanData, passed: bool) -> None:
    result = check([seen(1), fault(1)], [span])
    assert ("error status passed through" not in wrong(result)) is passed


def test_a_late_span_has_its_own_status() -> None:
    late = SpanData(
        "cleanup (late)", trace_of(1), "9" * 16, f"{1:016x}", status="ERROR", events=(event(1),)
    )
    assert check([seen(1), fault(1)], [server(1), late]).ok
    unset = SpanData("cleanup (late)", trace_of(1), "9" * 16, f"{1:016x}", events=(event(1),))
    assert not check([seen(1), fault(1)], [server(1), unset]).ok


def test_the_status_that_the_rule_names() -> None:
    assert check([seen(1), fault(1, status=500)], [failed(1)]).ok
    assert not check([seen(1), fault(1, status=503)], [failed(1)]).ok
    escaped = server(1, None, status="ERROR", events=(event(1),))
    assert check([seen(1), fault(1, status=500)], [escaped]).ok
    assert not check([seen(1), fault(1, status=403)], [escaped]).ok
    refused = server(1, 403, events=(event(1, True),))
    assert check([seen(1), fault(1, status=403)], [refused]).ok


def otlp(span: SpanData) -> dict[str, Any]:
    values = {
        name: {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}
        for name, value in span.attributes.items()
    }
    return {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        "name": span.name,
        "kind": 2,
        "startTimeUnixNano": "1",
        "endTimeUnixNano": "2",
        "attributes": [{"key": key, "value": value} for key, value in values.items()],
        "status": {"code": 2} if span.status == "ERROR" else {},
        "events": [
            {
                "name": each.name,
                "timeUnixNano": "1",
                "attributes": [
                    {
                        "key": key,
                        "value": {"boolValue": value}
                        if isinstance(value, bool)
                        else {"stringValue": value},
                    }
                    for key, value in each.attributes.items()
                ],
            }
            for each in span.events
        ],
    }


def ask(tmp_path: Path, journal: list[Any], spans: list[SpanData], *args: str) -> Result:
    (tmp_path / "chaos.jsonl").unlink(missing_ok=True)
    written = Journal(str(tmp_path / "chaos.jsonl"))
    for entry in journal:
        written.saw(entry) if isinstance(entry, Seen) else written.put(entry)
    written.close()
    scopes = [{"scope": {}, "spans": [otlp(span) for span in spans]}]
    request = {"resourceSpans": [{"resource": {}, "scopeSpans": scopes}]}
    (tmp_path / "spans.json").write_text(json.dumps(request))
    files = [str(tmp_path / "chaos.jsonl"), str(tmp_path / "spans.json")]
    return CliRunner().invoke(integrity, [*files, *args])


def test_the_command_passes_a_whole_run(tmp_path: Path) -> None:
    journal, spans = run_of(10, 3)
    answer = ask(tmp_path, journal, spans)
    assert answer.exit_code == 0
    assert "10 requests, 3 faults" in answer.output
    assert "FAILED" not in answer.output
    assert "100.00% (3 of 3)" in answer.output


def test_the_command_names_what_was_lost(tmp_path: Path) -> None:
    journal, spans = run_of(20, 13)
    answer = ask(tmp_path, journal, [server(n) for n in range(1, 21)])
    assert answer.exit_code == 1
    assert answer.output.count("FAILED") == 2
    assert f"errors on their trace: {token_of(1)}" in answer.output
    assert "errors on their trace: and 3 more" in answer.output
    answer = ask(tmp_path, journal, spans[1:], "--format", "json", "--max-deviation", "1")
    found = json.loads(answer.output)
    assert answer.exit_code == 1
    assert found["ok"] is False
    assert {each["name"]: each["failed"] for each in found["checks"] if not each["ok"]} == {
        "lost trace ids": [trace_of(1)],
        "errors on their trace": [token_of(1)],
        "error status passed through": [token_of(1)],
    }


def test_the_command_is_one_of_everylayers(tmp_path: Path, capfd: Any) -> None:
    journal, spans = run_of(3, 1)
    ask(tmp_path, journal, spans[1:])
    files = [str(tmp_path / "chaos.jsonl"), str(tmp_path / "spans.json")]
    assert cli.run(["integrity", *files]) == 1
    assert trace_of(1) in capfd.readouterr().out
    assert cli.run(["integrity", files[1], files[1]]) == 2
    assert "no entry of a journal" in capfd.readouterr().err


def test_the_command_refuses_what_it_cannot_read(tmp_path: Path) -> None:
    journal, spans = run_of(2, 1)
    assert ask(tmp_path, journal, spans, "--expected-spans", "2").exit_code == 0
    (tmp_path / "broken").write_text("{")
    whole = str(tmp_path / "chaos.jsonl"), str(tmp_path / "spans.json")
    for files, said in (
        ((str(tmp_path / "broken"), whole[1]), "line 1 is no entry of a journal"),
        ((str(tmp_path / "none"), whole[1]), "The journal"),
        ((whole[0], str(tmp_path / "broken")), "The spans"),
        ((whole[0], whole[0]), "no spans in OTLP JSON"),
    ):
        answer = CliRunner().invoke(integrity, files)
        assert answer.exit_code == 2
        assert said in " ".join(answer.output.split())
        assert "Traceback" not in answer.output
