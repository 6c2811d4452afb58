"""What the page takes as given: a customer, a key service, and providers to export with."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Annotated

from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

import everylayer

customer = SimpleNamespace(reference="C-4711")
provider = TracerProvider()
logger_provider = LoggerProvider()


class Kms:
    def decrypt(self, data: bytes) -> bytes:
        return data[::-1]


kms = Kms()
wrapped = {"2026-11": bytes(range(32))}
__all__ = [
    "Annotated",
    "BatchLogRecordProcessor",
    "BatchSpanProcessor",
    "Kms",
    "OTLPLogExporter",
    "OTLPSpanExporter",
    "customer",
    "dataclass",
    "everylayer",
    "kms",
    "logger_provider",
    "provider",
    "wrapped",
]
