"""Stock's client instrumentation, if it is there: no dependency of ours."""

from __future__ import annotations

import sys
from typing import Any

_NAME = "opentelemetry.instrumentation.grpc"


def begins() -> bool:
    """Tell whether stock begins a span for the RPCs of each channel that is made."""
    module = sys.modules.get(_NAME)
    # Not by calling the class: that would give the one instance other settings.
    known = getattr(getattr(module, "GrpcInstrumentorClient", None), "_instance", None)
    return bool(getattr(known, "is_instrumented_by_opentelemetry", False))


def interceptor_class() -> Any:
    """Return the class of stock's interceptor, None without it."""
    try:
        from opentelemetry.instrumentation.grpc import _client
    except ImportError:
        return None
    return getattr(_client, "OpenTelemetryClientInterceptor", None)
