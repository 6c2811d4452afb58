"""Whether an error arrived: pure, from what was exported and what was answered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from ..sinks import attributes
from ..sinks.span_event import EVENT
from .answers import changes
from .injected import InjectedFault, Translated, message_of
from .model import Answer, Fault, SpanData, SpanEvent, Trial, Verdict

_LATE = " (late)"


class Carried(NamedTuple):
    """An exception event, and the span that it is on."""

    event: SpanEvent
    span: SpanData

    def value(self, name: str) -> Any:
        """Return an attribute of the event, "" for none."""
        return self.event.attributes.get(name, "")


def judge(
    fault: Fault, bare: tuple[Answer, Answer], trial: Trial, stock: Trial | None = None
) -> Verdict:
    """Judge one trial.

    Args:
        fault: what was put.
        bare: what the app answers without any telemetry, from two processes.
        trial: what came of it in the arm to judge.
        stock: the same with OpenTelemetry alone, if `trial` is everylayer's: what is already
            otherwise there is none of everylayer's doing.
    """
    if not trial.reached:
        return Verdict(reached=False)
    beside = stock if stock is not None and stock.reached else None
    changed = list(changes(bare, trial.answer, beside.answer if beside else None))
    response = not changed
    if trial.arm == "stock":
        # It may do to the response what it likes: it is asked about errors here.
        changed = []
    if trial.own_failures:
        changed.append(f"everylayer itself failed, {trial.own_failures} times; its log tells why")
    if fault.error != "error":
        return Verdict(response=response, why=tuple(changed))
    server = server_span(trial.spans)
    context = in_context(trial, server)
    if context is False and beside and in_context(beside, server_span(beside.spans)):
        changed.append("the request's span is not the current one here, as it is with stock alone")
    if server is None:
        why = ("no server span", *changed)
        return Verdict(event=False, response=response, context=context, why=why)
    first = list(_events(trial, server, InjectedFault, message_of(fault)))
    second = list(_events(trial, server, Translated)) if trial.translated else []
    there = _current(trial, server) if context is False else _caught_at_once(trial)
    absent = list(_absent(first, second, trial, there))
    message_why = list(_message(first, fault))
    stack_why = list(_stack(first, trial))
    once_why = list(_once(first, second))
    status_why = list(_status(server, [*first, *second], trial))
    return Verdict(
        event=not absent,
        message=not message_why if first else None,
        stack=not stack_why if first else None,
        status=not status_why,
        once=not once_why if first or second else None,
        response=response,
        context=context,
        why=(*absent, *message_why, *stack_why, *once_why, *status_why, *changed),
    )


def server_span(spans: Iterable[SpanData]) -> SpanData | None:
    """Return the outermost SERVER span that has no parent here."""
    spans = list(spans)
    here = {span.span_id for span in spans}
    found = [span for span in spans if span.kind == "SERVER" and span.parent_id not in here]
    return min(found, key=lambda span: span.start, default=None)


def in_context(trial: Trial, server: SpanData | None) -> bool | None:
    """Tell whether the request's span recorded where the fault came; None if that is not known."""
    place = (trial.fault.node, trial.fault.phase)
    there = [visit for visit in trial.visits if (visit.node, visit.phase) == place]
    if not there:
        return None
    return server is not None and any(
        visit.recording and visit.trace_id == server.trace_id for visit in there
    )


def _events(
    trial: Trial, server: SpanData, cls: type[BaseException], message: str = ""
) -> Iterator[Carried]:
    """Yield the events of a `cls` on the server span, and on the late ones of its trace."""
    for span in trial.spans:
        late = span.name.endswith(_LATE) and span.trace_id == server.trace_id
        if span.span_id != server.span_id and not late:
            continue
        for event in span.events:
            if event.name == EVENT and _is(Carried(event, span), cls, message):
                yield Carried(event, span)


def _is(carried: Carried, cls: type[BaseException], message: str) -> bool:
    name = _type(carried)
    # A framework's part may have a subclass of its own.
    if name.startswith(cls.__name__):
        return True
    # A group has the fault among its members.
    stack = str(carried.value(attributes.EXCEPTION_STACKTRACE))
    return name.endswith("ExceptionGroup") and bool(message) and message in stack


def _type(carried: Carried) -> str:
    return str(carried.value(attributes.EXCEPTION_TYPE)).rpartition(".")[2]


def _absent(first: list[Carried], second: list[Carried], trial: Trial, there: str) -> Iterator[str]:
    if not first:
        yield f"no exception event on the server span{there}"
    if not trial.translated:
        return
    if not second:
        yield "no exception event for what the fault was translated into"
    elif not any(_names_the_first(each) for each in second):
        yield "the event of what the fault was translated into does not name the fault"


def _current(trial: Trial, server: SpanData) -> str:
    """Return the end of a sentence: which span was the current one where the fault came."""
    place = (trial.fault.node, trial.fault.phase)
    traces = {visit.trace_id for visit in trial.visits if (visit.node, visit.phase) == place}
    if not any(traces):
        return "; none is current here"
    ended = server.trace_id in traces
    return "; it has ended by then" if ended else "; one of another trace is current here"


def _caught_at_once(trial: Trial) -> str:
    """Return the end of a sentence where a layer has caught its own fault and gone on.

    Such a layer comes to a return once more.
    """
    place = (trial.fault.node, trial.fault.phase)
    returns = sum((visit.node, visit.phase) == place for visit in trial.visits)
    if trial.arm == "stock" or trial.fault.phase != "after" or returns < 2:
        return ""
    return "; the layer caught it itself, which the setting swallowed=monitor shows"


def _names_the_first(carried: Carried) -> bool:
    name = InjectedFault.__name__
    chain = carried.value(attributes.CHAIN) or ()
    return any(name in link for link in chain) or name in str(
        carried.value(attributes.EXCEPTION_STACKTRACE)
    )


def _message(found: list[Carried], fault: Fault) -> Iterator[str]:
    whole = message_of(fault)
    if any(
        _type(each) == InjectedFault.__name__ and each.value(attributes.EXCEPTION_MESSAGE) != whole
        for each in found
    ):
        yield "the message is not whole"


def _stack(found: list[Carried], trial: Trial) -> Iterator[str]:
    place = (trial.fault.node, trial.fault.phase)
    there = (visit.at for visit in trial.visits if (visit.node, visit.phase) == place)
    file, _, function = next(there, "").rpartition(":")
    for carried in found:
        stack = str(carried.value(attributes.EXCEPTION_STACKTRACE))
        if not stack:
            yield "there is no stack"
            return
        if file not in stack or f"in {function}" not in stack:
            yield f"the stack does not name {function}"
            return


def _once(first: list[Carried], second: list[Carried]) -> Iterator[str]:
    for found, what in ((first, "the error"), (second, "what it was translated into")):
        if len(found) > 1:
            yield f"{what} is there {len(found)} times"


def _status(server: SpanData, found: list[Carried], trial: Trial) -> Iterator[str]:
    """Yield what is wrong with the status of the span that has the events, or should have them."""
    answer = trial.answer
    carrier = found[-1].span if found else server
    marked = carrier.status == "ERROR"
    late = carrier.span_id != server.span_id
    name = "late" if late else "server"
    failed = answer.status is None or answer.status >= 500
    if failed or (found and answer.escaped):
        if not marked:
            yield f"the {name} span is {carrier.status}, though {_outcome(answer)}"
        return
    if not found:
        if marked and not answer.escaped:
            yield f"the server span is ERROR, though {_outcome(answer)}"
        return
    said = found[-1].value(attributes.HANDLED)
    # What comes after the start of a response is a failure even where a layer swallows it.
    may_be_an_error = late or trial.fault.phase != "before"
    if marked and not (may_be_an_error and said in (False, "")):
        yield f"the {name} span is ERROR, though {_outcome(answer)}"
    elif not marked and said is False:
        yield f"the {name} span is {carrier.status}, though its event is that of a failure"


def _outcome(answer: Answer) -> str:
    if answer.status is None:
        return "there was no response"
    left = ", and the error left the app" if answer.escaped else ""
    return f"the response was {answer.said}{left}"
