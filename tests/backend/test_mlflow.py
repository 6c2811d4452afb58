"""A storm in a real back end: `mlflow server` on SQLite, on the loopback, asked over REST."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

if find_spec("mlflow") is None:
    pytest.skip("mlflow is not installed: nox -s backend", allow_module_level=True)

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from wire_storm import KINDS, Storm, request

READY_S = 180
REQUESTS = 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a server with an empty store, and return its URL."""
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/store.db"]
    command += ["--default-artifact-root", str(folder / "artifacts")]
    quiet = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=folder, env=quiet, start_new_session=True
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(url, process, folder / "log")
        yield url
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + READY_S
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/health", timeout=5):
            return
        time.sleep(0.5)
    pytest.fail(f"no server: {log.read_text(errors='replace')[-2000:]}")


def spans_of(url: str, trace_id: int) -> Sequence[Mapping[str, Any]]:
    """Return the spans that the server has of a trace."""
    path = f"/api/3.0/mlflow/traces/get?trace_id=tr-{trace_id:032x}"
    with urllib.request.urlopen(url + path, timeout=30) as answer:
        found: Sequence[Mapping[str, Any]] = json.load(answer)["trace"]["spans"]
        return found


def plain(pairs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {pair["key"]: _plain(pair["value"]) for pair in pairs}


def _plain(value: Mapping[str, Any]) -> Any:
    ((kind, inner),) = value.items()
    if kind == "array_value":
        return tuple(_plain(item) for item in inner["values"])
    return int(inner) if kind == "int_value" else inner


def test_each_span_event_and_attribute_arrives_as_it_was_sent(server: str) -> None:
    sent = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(sent))
    headers = {"x-mlflow-experiment-id": "0"}
    exporter = OTLPSpanExporter(endpoint=f"{server}/v1/traces", headers=headers)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    storm = Storm()
    for number in range(REQUESTS):
        request(provider, storm.errors(number, len(KINDS)))
    assert provider.force_flush(120_000)
    assert len(sent.get_finished_spans()) == REQUESTS
    for span in sent.get_finished_spans():
        _compare(span, spans_of(server, span.context.trace_id))
    provider.shutdown()


def _compare(span: ReadableSpan, found: Sequence[Mapping[str, Any]]) -> None:
    (stored,) = found
    assert stored["name"] == span.name
    assert stored["status"]["message"] == span.status.description
    theirs = plain(stored["attributes"])
    assert {key: theirs.get(key) for key in span.attributes or {}} == dict(span.attributes or {})
    assert len(stored["events"]) == len(span.events) == len(KINDS)
    for event, kept in zip(span.events, stored["events"], strict=True):
        assert (kept["name"], int(kept["time_unix_nano"])) == (event.name, event.timestamp)
        assert plain(kept["attributes"]) == dict(event.attributes or {})
