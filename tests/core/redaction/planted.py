"""Secrets planted in errors by every path, and every text that a sink was given of them."""

from __future__ import annotations

import sys
from collections.abc import Callable

from opentelemetry.trace import Span, Status, StatusCode, use_span

from contract.telemetry import Telemetry, session
from everylayer.layers import Layer
from everylayer.ledger import Ledger
from everylayer.settings import Settings

GATE = Layer("Gate", "middleware")
CARD = "4111111111111111"
SECRETS = (CARD, "jane.doe@example.com", "password=hunt3r2secret", "GB82WEST12345698765432")


def shown(telemetry: Telemetry) -> str:
    """Return every text that any sink was given."""
    texts = [span.status.description or "" for span in telemetry.spans]
    for span in telemetry.spans:
        texts += [str(value) for value in (span.attributes or {}).values()]
        for event in span.events:
            texts += [str(value) for value in (event.attributes or {}).values()]
    for log in telemetry.logs:
        texts += [str(value) for value in (log.log_record.attributes or {}).values()]
    return "\n".join(texts)


def plain(secret: str) -> str:
    return secret.partition("=")[2] or secret


def linked(path: str, text: str) -> BaseException:  # noqa: C901
    try:
        if path == "message":
            raise ValueError(text)
        if path == "key":
            raise KeyError(text)
        if path == "argument":
            raise ValueError({"payment": [text]}, text)
        if path == "system exit":
            raise SystemExit(text)
        if path == "name":
            raise NameError(text, name=text)
        if path == "syntax":
            raise SyntaxError(text, (text, 1, 1, text))
        if path == "import":
            raise ImportError(text, name=text, path=text)
        if path == "str of a note":
            exc = ValueError("x")
            exc.__notes__ = [ValueError(text), text]  # type: ignore[list-item]
            raise exc
        if path == "notes that are none":
            exc = ValueError("x")
            exc.__notes__ = {"note": text}  # type: ignore[assignment]
            raise exc
        if path == "group":
            raise ExceptionGroup(text, [ValueError(text), KeyError(text)])
        try:
            raise ValueError(text)
        except ValueError as cause:
            if path == "cause":
                raise RuntimeError("outer") from cause
            raise RuntimeError("outer")  # noqa: B904
    except BaseException as exc:
        return exc


PATHS = [
    "message", "key", "argument", "system exit", "name", "syntax", "import", "str of a note",
    "notes that are none", "cause", "context", *(["group"] if sys.version_info >= (3, 11) else []),
]  # fmt: skip


def send(
    exc: BaseException, rules: Settings, before: Callable[[Span], object] | None = None
) -> str:
    with session() as telemetry:
        span = telemetry.provider.get_tracer("app").start_span("GET /")
        ledger = Ledger(rules)
        ledger.bind(span)
        if before is not None:
            with use_span(span):
                before(span)
        ledger.see(exc, layer=GATE)
        span.record_exception(exc)
        span.set_status(Status(StatusCode.ERROR, f"{type(exc).__name__}: {exc}"))
        ledger.responded(500)
        span.end()
        ledger.close()
        return shown(telemetry)
