"""Apps that do what no audit should have to bear, each made by a factory of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import Any


def _answer(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"answer"]


def prints() -> Any:
    """Print everywhere, more than a pipe holds, read stdin, and keep a thread from ending."""
    assert sys.stdin.read() == ""
    threading.Thread(target=time.sleep, args=(600,)).start()
    os.write(1, b'{"end": true}\n' * 20_000)
    print("\udc80 not UTF-8", "x" * 100_000, file=sys.stderr)
    sys.stdout.close()
    return _answer


def exits() -> Any:
    print("the last words", flush=True)
    os._exit(3)


def ends_in_request() -> Any:
    """Exit the first time, crash the second."""

    def app(environ: Any, start_response: Any) -> Any:
        marker = os.environ["HOSTILE_PID"]
        if os.path.exists(marker):
            os.kill(os.getpid(), signal.SIGSEGV)
        with open(marker, "w", encoding="utf-8"):
            os._exit(4)

    return app


def hangs() -> Any:
    """Never answer, and leave a process behind that holds every pipe open."""

    def app(environ: Any, start_response: Any) -> Any:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        with open(os.environ["HOSTILE_PID"], "w", encoding="utf-8") as file:
            file.write(str(child.pid))
        while True:
            time.sleep(0.01)

    return app


def needs_a_database_to_answer() -> Any:
    import logging

    def app(environ: Any, start_response: Any) -> Any:
        try:
            socket.create_connection(("127.0.0.1", 1), 1)
        except OSError:
            logging.getLogger("app").exception("no answer")
            start_response("500 Oops", [("Content-Type", "text/plain")])
        return [b"sorry"]

    return app


def sends_all_it_has() -> Any:
    """Export to PORT by every way there is, at once."""
    import sentry_sdk
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider, sampling
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

    url = f"http://127.0.0.1:{os.environ['HOSTILE_PORT']}"
    sentry_sdk.init(dsn=url.replace("//", "//key@") + "/1", default_integrations=False)
    provider = TracerProvider(sampler=sampling.ALWAYS_OFF)
    exporter = OTLPSpanExporter(endpoint=f"{url}/v1/traces", timeout=1)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    assert trace.get_tracer_provider() is provider

    def app(environ: Any, start_response: Any) -> Any:
        with trace.get_tracer("app").start_as_current_span("of the app's own"):
            sentry_sdk.capture_message("of the app's own")
        provider.force_flush()
        sentry_sdk.flush(timeout=2)
        return _answer(environ, start_response)

    return app
