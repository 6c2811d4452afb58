"""A Celery app whose broker and results are folders; spans of its workers go to a file each."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import celery
from celery.exceptions import Reject
from opentelemetry import baggage, trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

import everylayer
import everylayer.celery

HOME = Path(os.environ["PREFORK_HOME"])
FOLDERS = {name: HOME / name for name in ("messages", "control", "results", "spans")}
for folder in FOLDERS.values():
    folder.mkdir(exist_ok=True)

app = celery.Celery("prefork", broker="filesystem://", backend=f"file://{FOLDERS['results']}")
app.conf.update(
    broker_transport_options={
        "data_folder_in": str(FOLDERS["messages"]),
        "data_folder_out": str(FOLDERS["messages"]),
        "control_folder": str(FOLDERS["control"]),
        "polling_interval": 0.02,
    },
    broker_connection_retry_on_startup=True,
    worker_enable_remote_control=False,
)
if "PREFORK_STOCK" in os.environ:
    from opentelemetry.instrumentation.celery import CeleryInstrumentor

    CeleryInstrumentor().instrument()
everylayer.celery.instrument()


class Folder(SpanExporter):
    """Appends each span to the file of its process: a fork exports, too."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with (FOLDERS["spans"] / str(os.getpid())).open("a") as file:
            for span in spans:
                file.write(json.dumps(json.loads(span.to_json(indent=None))) + "\n")
        return SpanExportResult.SUCCESS


def export() -> None:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(Folder()))
    trace.set_tracer_provider(provider)


if "PREFORK_WORKER" in os.environ:
    export()


class OutOfStock(Exception):
    def __init__(self, sku: str, *, left: int) -> None:
        super().__init__(f"{sku}: {left} left")


@app.task(name="reserve")  # type: ignore[untyped-decorator, unused-ignore]
def reserve(sku: str) -> NoReturn:
    try:
        {}["left"]
    except KeyError as exc:
        raise OutOfStock(sku, left=0) from exc
    raise AssertionError


@app.task(name="die")  # type: ignore[untyped-decorator, unused-ignore]
def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(name="leaks")  # type: ignore[untyped-decorator, unused-ignore]
def leaks(secret: str) -> NoReturn:
    raise OutOfStock(f"password={secret}", left=0)


@app.task(name="hangs")  # type: ignore[untyped-decorator, unused-ignore]
def hangs() -> None:
    time.sleep(30)


@app.task(name="rejects", acks_late=True)  # type: ignore[untyped-decorator, unused-ignore]
def rejects() -> NoReturn:
    raise Reject("not for me", requeue=False)


@app.task(name="unkept")  # type: ignore[untyped-decorator, unused-ignore]
def unkept() -> str:
    """Work well, but the result cannot be stored."""

    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        del vars(app.backend)["mark_as_done"]
        raise OSError("no space left")

    app.backend.mark_as_done = refuse
    return "done"


@app.task(name="look")  # type: ignore[untyped-decorator, unused-ignore]
def look() -> dict[str, Any]:
    span = trace.get_current_span().get_span_context()
    return {
        "pid": os.getpid(),
        "tenant": everylayer.tenant(),
        "baggage": dict(baggage.get_all()),
        "trace": trace.format_trace_id(span.trace_id),
    }
