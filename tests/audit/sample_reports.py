"""Reports and spans such as audits make, small and large, kind and hostile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from everylayer.audit.model import (
    Answer,
    ChainNode,
    Fault,
    Finding,
    Phase,
    Report,
    Request,
    Row,
    Shape,
    SpanData,
    SpanEvent,
    Trial,
    Verdict,
    Visit,
)
from everylayer.audit.plan import walk

BEGAN = 1_790_000_000_123_456_789
SHAPES: tuple[Shape, ...] = ("raised", "swallowed", "translated")
# What would leave a script, a style, a comment or the block of data, or break an encoder.
HOSTILE = (
    "</script><script>alert(1)</script><!-- \x00\x1b[31m \ud800 \u2028 \u2029 \U0001f525 "
    "<img src=x onerror=alert(2)> </style> ]]> & &lt; {{7*7}} @@data@@ \u202eright to left"
)

LAYERS: tuple[tuple[str, str, str, tuple[Phase, ...]], ...] = (
    ("RequestIdMiddleware", "class", "shop/middleware.py:18", ("before", "after")),
    ("GZipMiddleware", "asgi", "starlette/middleware/gzip.py:9", ("before", "stream")),
    ("RecoveryMiddleware", "class", "shop/recovery.py:31", ("before", "after")),
    ("AuthMiddleware", "class", "shop/auth.py:44", ("before", "after")),
)


def ids(seed: int) -> tuple[str, str]:
    """Return a trace id and a span id."""
    return f"{0x5EED << 96 | seed:032x}", f"{0xBEE << 48 | seed:016x}"


def stack(layer: str, where: str, message: str) -> str:
    file, _, line = where.partition(":")
    return (
        "Traceback (most recent call last):\n"
        '  File "/srv/shop/.venv/lib/python3.13/site-packages/starlette/middleware/errors.py", '
        "line 164, in __call__\n    await self.app(scope, receive, _send)\n"
        f'  File "/srv/shop/{file or "app.py"}", line {line or 1}, in {layer}.__call__\n'
        "    claims = decode(header, key=self.key)\n"
        '  File "/srv/shop/shop/tokens.py", line 12, in decode\n'
        f"    raise InjectedError(token)\nInjectedError: {message}\n"
    )


def exception(layer: str, where: str, message: str, phase: str) -> SpanEvent:
    return SpanEvent(
        "exception",
        BEGAN + 2_400_000,
        {
            "exception.type": "everylayer.faults.InjectedError",
            "exception.message": message,
            "exception.stacktrace": stack(layer, where, message),
            "code.function.name": f"shop.auth.{layer}.__call__",
            "code.line.number": 44,
            "everylayer.layer.name": layer,
            "everylayer.layer.kind": "class",
            "everylayer.layer.phase": phase,
            "everylayer.handled": False,
            "everylayer.exception.chain": ["cause: KeyError"],
        },
    )


def spans(seed: int, status: int, event: SpanEvent | None) -> tuple[SpanData, ...]:
    """Return the spans of a request: the server's, with a query and a late one below it."""
    trace_id, server_id = ids(seed)
    failed = status >= 500
    common = {
        "http.request.method": "GET",
        "url.path": "/orders",
        "http.response.status_code": status,
    }
    server = SpanData(
        "GET /orders",
        trace_id,
        server_id,
        kind="SERVER",
        start=BEGAN,
        end=BEGAN + 4_812_000,
        status="ERROR" if failed else "UNSET",
        description=str(event.attributes["exception.message"])[:512] if event and failed else "",
        attributes=common,
        events=(event,) if event else (),
    )
    query = SpanData(
        "SELECT orders",
        trace_id,
        f"{seed + 1:016x}",
        server_id,
        "CLIENT",
        BEGAN + 700_000,
        BEGAN + 2_100_000,
        attributes={"db.system.name": "sqlite", "db.query.text": "SELECT * FROM orders LIMIT 20"},
    )
    return server, query


def row(
    node: ChainNode, phase: Phase, shape: Shape, seed: int, *, lost: bool, text: str = ""
) -> Row:
    token = f"el-{seed:04x}"
    fault = Fault(node.id, phase, shape, token)
    message = f"{text or 'injected'} {token}"
    status = 200 if shape == "swallowed" else 500
    answer = Answer(status, (("content-type", "text/plain"),), "00" * 32, 21)
    event = exception(node.name, node.where, message, phase)
    trace_id, span_id = ids(seed)
    visit = Visit(node.id, phase, trace_id, span_id, True, "MainThread", "Task-7", 1)
    good = Verdict(True, True, True, True, True, True, True, True)
    bad = replace(
        good,
        event=False,
        message=None,
        stack=None,
        once=None,
        why=("no span of the trace has an exception event of the fault's type",),
    )
    return Row(
        fault,
        answer,
        {
            "stock": Trial(
                "stock", fault, True, answer, (visit,), spans(seed, status, None if lost else event)
            ),
            "everylayer": Trial(
                "everylayer", fault, True, answer, (visit,), spans(seed, status, event)
            ),
        },
        {"stock": bad if lost else good, "everylayer": good},
    )


def rows_of(nodes: Sequence[ChainNode], text: str = "") -> tuple[Row, ...]:
    """Return a row for each place and shape; stock loses seven in ten."""
    places = [(node, phase, shape) for node in nodes for phase in node.phases for shape in SHAPES]
    return tuple(
        row(node, phase, shape, seed * 16 + 1, lost=seed % 10 not in (0, 3, 7), text=text)
        for seed, (node, phase, shape) in enumerate(places)
    )


def small() -> Report:
    """Return the audit of a shop with four layers, a mounted app and two endpoints."""
    layers = tuple(
        ChainNode(str(index), name, kind, where, "async", "send wrapper", phases)
        for index, (name, kind, where, phases) in enumerate(LAYERS)
    )
    own = ChainNode("+0", "OpenTelemetryMiddleware", "instrumentation")
    endpoints = (
        ChainNode(
            "4.0",
            "orders",
            "endpoint",
            "shop/views.py:12",
            "async",
            "",
            ("before", "stream", "background"),
        ),
        ChainNode(
            "4.1",
            "/admin",
            "mount",
            "shop/app.py:52",
            inner=(ChainNode("4.1.0", "stats", "endpoint", "shop/admin.py:9"),),
        ),
    )
    router = ChainNode("4", "Router", "asgi", "starlette/routing.py:570", "async", inner=endpoints)
    chain = (own, *layers, router)
    rows = rows_of(list(walk(chain)))
    unreached = rows[-1]
    gone = Verdict(reached=False)
    rows = (*rows[:-1], replace(unreached, verdicts={"stock": gone, "everylayer": gone}))
    wrong = Verdict(
        True,
        True,
        True,
        True,
        False,
        False,
        True,
        True,
        ("the span is UNSET, though the response is a 500", "the error is there twice"),
    )
    rows = tuple(
        replace(r, verdicts={**r.verdicts, "stock": wrong}) if i in (4, 13) else r
        for i, r in enumerate(rows)
    )
    return Report(
        "shop.main:app",
        "Starlette",
        Request("GET", "/orders?page=2"),
        chain,
        rows,
        (
            Finding(
                "context-lost",
                "AuthMiddleware calls the next layer in a fresh contextvars.Context: "
                "no span is current below it.",
                "3",
                "shop/auth.py:51",
                "Call it in the current context, or in contextvars.copy_context().",
            ),
            Finding(
                "hides-errors",
                "RecoveryMiddleware answers 200 to every exception.",
                "2",
                "shop/recovery.py:40",
                "Answer 500, or let what you do not know pass.",
            ),
        ),
        {
            "python": "3.13.0",
            "everylayer": "0.1.0",
            "starlette": "1.10.0",
            "opentelemetry-sdk": "1.45.0",
        },
        "",
        4.2,
    )


def large(layers: int = 30, text: str = "") -> Report:
    """Return the audit of a deep chain, ten or so faults a layer; `text` stands in each message."""
    phases: tuple[tuple[Phase, ...], ...] = (
        ("before", "after", "stream", "teardown"),
        ("before", "after", "teardown"),
    )
    name = text or "package.middleware.generated.VeryLongMiddlewareNameThatSomebodyFoundUseful"
    chain = tuple(
        ChainNode(
            str(n), f"{name}{n}", "class", f"shop/{text}layer_{n}.py:{n}", "both", "", phases[n % 2]
        )
        for n in range(layers)
    )
    findings = tuple(
        Finding(f"kind-{n}", f"{text}what is wrong", str(n), f"{text}:1", text) for n in range(3)
    )
    return Report(
        f"{text}large:app",
        "Django",
        Request(path=f"/{text}"),
        chain,
        rows_of(chain, text),
        findings,
        {"python": text or "3.13"},
    )


def hostile() -> Report:
    return large(3, HOSTILE)


def empty() -> Report:
    """Return the audit of an app without a layer, where stock could not run."""
    return Report(
        "bare:app",
        "Flask",
        Request(),
        (),
        stock="opentelemetry-instrumentation-flask is not installed",
    )
