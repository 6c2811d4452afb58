"""Nothing leaves: every exporter of this process is mute, every span goes to the store.

It works on base classes, before the app is imported: whatever an app defines or imports later
inherits it. The app's own database, caches and clients are left alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import wrapt
from opentelemetry import trace
from opentelemetry.sdk._logs import export as log_export
from opentelemetry.sdk.metrics import export as metric_export
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace import export as span_export
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from ..settings import Settings
from .model import Arm
from .store import Store


def silence(arm: Arm) -> Store:
    """Make this process mute, for good; return the store that every span goes to.

    Each span is recorded, whatever sampler the app asks for.
    """
    store = Store()
    mute(span_export.SpanExporter, "export", span_export.SpanExportResult.SUCCESS)
    mute(metric_export.MetricExporter, "export", metric_export.MetricExportResult.SUCCESS)
    logs = getattr(log_export, "LogRecordExporter", None) or log_export.LogExporter
    result = getattr(log_export, "LogRecordExportResult", None) or log_export.LogExportResult
    mute(logs, "export", result.SUCCESS)
    wrapt.when_imported("sentry_sdk.transport")(_mute_sentry)
    wrapt.when_imported("sentry_sdk.spotlight")(_mute_spotlight)
    _keep_spans(store)
    if arm != "everylayer":
        _disable_everylayer()
    return store


def mute(base: type[Any], method: str, result: Any) -> None:
    """Make `method` of each subclass of `base` return `result`, those to come included."""

    def silent(*args: Any, **kwargs: Any) -> Any:
        return result

    own = base.__dict__.get("__init_subclass__")

    def __init_subclass__(cls: type[Any], /, **kwargs: Any) -> None:
        if own is None:
            super(base, cls).__init_subclass__(**kwargs)
        else:
            own.__func__(cls, **kwargs)
        setattr(cls, method, silent)

    setattr(base, "__init_subclass__", classmethod(__init_subclass__))  # noqa: B010
    for cls in _subclasses(base):
        setattr(cls, method, silent)


def _subclasses(base: type[Any]) -> Iterator[type[Any]]:
    for cls in base.__subclasses__():
        yield cls
        yield from _subclasses(cls)


def _mute_sentry(module: Any) -> None:
    for method in ("capture_envelope", "capture_event"):
        mute(module.Transport, method, None)


def _mute_spotlight(module: Any) -> None:
    client = getattr(module, "SpotlightClient", None)
    if client is not None:
        client.capture_envelope = lambda self, envelope: None


def _keep_spans(store: Store) -> None:
    """Have each provider record everything into `store`, the global one first of all."""
    make = TracerProvider.__init__

    def __init__(self: TracerProvider, *args: Any, **kwargs: Any) -> None:
        make(self, *args, **kwargs)
        _take(self)

    def _take(provider: TracerProvider) -> None:
        provider.sampler = ALWAYS_ON
        provider.add_span_processor(store)

    def set_provider(tracer_provider: Any, log: bool = True) -> None:
        # An app's own replaces ours, and the store has that too; another kind would see nothing.
        if isinstance(tracer_provider, TracerProvider):
            trace._TRACER_PROVIDER = tracer_provider

    TracerProvider.__init__ = __init__  # type: ignore[method-assign]
    present = trace.get_tracer_provider()
    if isinstance(present, TracerProvider):
        # `opentelemetry-instrument` has been here, with tracers that remember its sampler.
        _take(present)
        for tracer in getattr(present, "_tracers", {}).values():
            tracer.sampler = ALWAYS_ON
    else:
        trace.set_tracer_provider(TracerProvider())
    trace._set_tracer_provider = set_provider


def _disable_everylayer() -> None:
    """Switch everylayer off, even where the app's own keyword arguments switch it on."""
    check = Settings.__post_init__

    def __post_init__(self: Settings) -> None:
        check(self)
        object.__setattr__(self, "enabled", False)

    Settings.__post_init__ = __post_init__  # type: ignore[method-assign]
