"""The values of an audit: what the chain is, what was tried, what came of it.

All of them turn into JSON and back; whatever crosses a process or stands in a report is one.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

SCHEMA = 1

# The same app, without any telemetry, with OpenTelemetry's own, and with everylayer beside that.
Arm = Literal["bare", "stock", "everylayer"]
# What a layer is doing when the fault comes.
Phase = Literal["before", "after", "stream", "teardown", "background"]
# What becomes of the fault: left to the app, swallowed or translated by one more layer outside all.
Shape = Literal["raised", "swallowed", "translated"]

# How a server calls an app; `http` is a server of the framework's own, the last two are gRPC's.
Interface = Literal["wsgi", "asgi", "http", "threads", "asyncio"]

ARMS: tuple[Arm, ...] = ("bare", "stock", "everylayer")
SHAPES: tuple[Shape, ...] = ("raised", "swallowed", "translated")


@dataclass(frozen=True)
class ChainNode:
    """One part of an app's chain, and what it leads to.

    Attributes:
        id: its place in the tree, such as `0` or `3.1`; the same in each arm, since what
            instrumentation adds has an id of its own, such as `+2`.
        name: as everylayer names the layer in a span.
        kind: `class`, `function`, `asgi`, `wsgi`, `hook`, `handler`, `endpoint`, `mount` or
            `instrumentation`.
        where: `file:line` of its definition, "" for one without source.
        mode: `sync`, `async` or `both`.
        seam: how everylayer sees what fails here, in a few words.
        phases: in which a fault can be put here; none for instrumentation.
        inner: what it leads to, where the chain branches: mounted apps, blueprints, endpoints.
    """

    id: str
    name: str
    kind: str
    where: str = ""
    mode: str = "sync"
    seam: str = ""
    phases: tuple[Phase, ...] = ()
    inner: tuple[ChainNode, ...] = ()


@dataclass(frozen=True)
class Request:
    """The request that each trial sends.

    Attributes:
        path: with its query, such as `/orders?page=2`; of an RPC its method, `/shop.Shop/Order`.
        messages: of an RPC, as they were typed: JSON or text, `hex:...` or `@FILE`.
    """

    method: str = "GET"
    path: str = "/"
    headers: tuple[tuple[str, str], ...] = ()
    messages: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        status: None where no response was started. An RPC has what HTTP would say in its place.
        code: the status of an RPC, by its name; "" over HTTP.
        body: its SHA-256 in hexadecimal, and `size` its length in bytes.
        escaped: class and message of an exception that left the app, "" for none.
        hazards: breaches of WSGI or ASGI seen on the way, one sentence each.
    """

    status: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""
    size: int = 0
    escaped: str = ""
    hazards: tuple[str, ...] = ()
    code: str = ""

    @property
    def said(self) -> str:
        """What a client was told, in its own terms; "" for no response."""
        return self.code or ("" if self.status is None else str(self.status))


@dataclass(frozen=True)
class Visit:
    """The moment a point was reached: who ran there, under which span.

    Attributes:
        trace_id, span_id: of the current span, hexadecimal; "" for none.
        thread, task: names of the running thread and asyncio task; "" for no task.
        context: tells one `contextvars.Context` from another within a run; 0 is unknown.
        at: the function that ran there, as `file:function`; "" if it is not known.
        time: in nanoseconds since the epoch; 0 if it is not known.
    """

    node: str
    phase: Phase
    trace_id: str = ""
    span_id: str = ""
    recording: bool = False
    thread: str = ""
    task: str = ""
    context: int = 0
    at: str = ""
    time: int = 0


@dataclass(frozen=True)
class SpanEvent:
    """An event of a span; `time` is in nanoseconds since the epoch."""

    name: str
    time: int = 0
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SpanData:
    """A span as it was exported; times are in nanoseconds since the epoch.

    Attributes:
        kind: `SERVER`, `INTERNAL`, `CLIENT`, `PRODUCER` or `CONSUMER`.
        status: `UNSET`, `OK` or `ERROR`.
    """

    name: str
    trace_id: str
    span_id: str
    parent_id: str = ""
    kind: str = "INTERNAL"
    start: int = 0
    end: int = 0
    status: str = "UNSET"
    description: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)
    events: tuple[SpanEvent, ...] = ()


@dataclass(frozen=True)
class Fault:
    """A fault to put.

    Attributes:
        token: stands in the exception's message and nowhere else.
        error: `error` for an Exception, `cancelled` for a CancelledError, `none` for a run that
            only looks.
    """

    node: str
    phase: Phase
    shape: Shape
    token: str
    error: Literal["error", "cancelled", "none"] = "error"


@dataclass(frozen=True)
class Trial:
    """What came of one fault in one arm.

    Attributes:
        reached: the fault's point was reached, so the fault was put.
        spans: all that were exported for this request.
        own_failures: failures of everylayer's own during it.
        leftover: the current span outlived the request, in hexadecimal; "" for none.
        translated: the layer of that shape has raised its own exception.
    """

    arm: Arm
    fault: Fault
    reached: bool
    answer: Answer
    visits: tuple[Visit, ...] = ()
    spans: tuple[SpanData, ...] = ()
    own_failures: int = 0
    leftover: str = ""
    translated: bool = False


@dataclass(frozen=True)
class Verdict:
    """Whether an error arrived; None is a question that did not arise.

    Attributes:
        event: an exception event with the fault's type is on the request's server span, or on
            a late span of the same trace.
        message, stack: it has the whole message, and a stack that names the layer's function.
        status: the server span is ERROR exactly if the response is a 5xx or there is none.
        once: there is one such event, not more.
        response: the app answered as without telemetry.
        context: the request's span was the current one where the fault came.
        why: what is wrong, one clause each; empty if nothing is.
    """

    reached: bool = True
    event: bool | None = None
    message: bool | None = None
    stack: bool | None = None
    status: bool | None = None
    once: bool | None = None
    response: bool | None = None
    context: bool | None = None
    why: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.why


@dataclass(frozen=True)
class Row:
    """One fault with its outcome in each telemetry arm, and the bare app's answer."""

    fault: Fault
    bare: Answer
    trials: dict[str, Trial] = field(default_factory=dict)
    verdicts: dict[str, Verdict] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """A hazard, or a layer that lost the span.

    Attributes:
        kind: a word to search for, such as `context-lost` or `started-twice`.
        node: the layer's id, "" if it is not known.
        remedy: what to do about it.
    """

    kind: str
    text: str
    node: str = ""
    where: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Report:
    """A whole audit.

    Attributes:
        versions: of Python and each package that matters, by name.
        stock: "" if OpenTelemetry's own instrumentation ran, else why it could not.
        seconds: how long it took.
    """

    target: str
    framework: str
    request: Request
    chain: tuple[ChainNode, ...]
    rows: tuple[Row, ...] = ()
    findings: tuple[Finding, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    stock: str = ""
    seconds: float = 0.0
    schema: int = SCHEMA


def to_json(value: Any) -> Any:
    """Return a dataclass of this module as what `json.dumps` takes."""
    return dataclasses.asdict(value)
