"""What the real servers of these tests run: an app whose spans are appended to files.

Variables: `SERVED_FRAMEWORK` (of `kit_apps`), `SERVED_SPANS` (a folder), `SERVED_STOCK`.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "support"), str(HERE)]

from opentelemetry import trace  # noqa: E402
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider  # noqa: E402
from opentelemetry.sdk.trace.export import (  # noqa: E402
    BatchSpanProcessor,
    SpanExporter,
    SpanExportResult,
)

from contract.telemetry import error_events  # noqa: E402
from everylayer import own_failures  # noqa: E402
from kit_apps import ASGI, Arm, served  # noqa: E402

FOLDER = Path(os.environ["SERVED_SPANS"])


class FileExporter(SpanExporter):
    """Appends one line for each span to the file of the process that exports it."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        lines = [
            {
                "pid": os.getpid(),
                "trace": span.context.trace_id,
                "span": span.context.span_id,
                "name": span.name,
                "kind": span.kind.name,
                "errors": [
                    str((e.event.attributes or {})["exception.message"])
                    for e in error_events([span])
                ],
                "failures": sum(own_failures().values()),
            }
            for span in spans
        ]
        with (FOLDER / f"{os.getpid()}.jsonl").open("a") as out:
            out.writelines(f"{json.dumps(line)}\n" for line in lines)
        return SpanExportResult.SUCCESS


def start_telemetry() -> None:
    """Set up the SDK as a service does, before any fork."""
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(FileExporter(), schedule_delay_millis=20))
    trace.set_tracer_provider(provider)


def telling_wsgi(inner: Any) -> Any:
    """Say in each response which process and thread it comes from."""

    def outermost(environ: Any, start_response: Any) -> Any:
        def start(status: str, headers: Any, *exc_info: Any) -> Any:
            return start_response(status, [*headers, ("x-served-by", whoami())], *exc_info)

        return inner(environ, start)

    return outermost


def telling_asgi(inner: Any) -> Any:
    """Say in each response which process and event loop it comes from."""
    import asyncio

    async def outermost(scope: Any, receive: Any, send: Any) -> None:
        async def tell(message: Any) -> None:
            if message["type"] == "http.response.start":
                loop = type(asyncio.get_running_loop()).__module__.split(".")[0]
                told = (b"x-served-by", f"{os.getpid()} {loop}".encode())
                message = {**message, "headers": [*message["headers"], told]}
            await send(message)

        await inner(scope, receive, tell)

    return outermost


def whoami() -> str:
    return f"{os.getpid()} {threading.get_ident()} {type(threading.current_thread()).__name__}"


def build() -> Any:
    """Return the app, for as long as the process lives."""
    framework = os.environ["SERVED_FRAMEWORK"]
    arm = Arm(everylayer=True, stock=bool(os.environ.get("SERVED_STOCK")))
    made = served(framework, arm)
    inner = made.__enter__()
    kept.append(made)
    return telling_asgi(inner) if framework in ASGI else telling_wsgi(inner)


kept: list[Any] = []
start_telemetry()
app = build()
