"""What each arm changes in the settings before the chain is built."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from everylayer.audit.model import Arm, Shape

from .. import patches
from ..instrumentor import EveryLayerDjangoInstrumentor
from ..locate import OWN, STOCK
from . import shapes

_ABSENT = "opentelemetry-instrumentation-django is not installed"
_BARE = "this is the arm without telemetry"


def put_in(arm: Arm, shape: Shape) -> str:
    """Make MIDDLEWARE that of `arm` and `shape`; return why stock is not in it, "" if it is."""
    settings.MIDDLEWARE = list(settings.MIDDLEWARE)
    if arm == "everylayer":
        _strip(shapes.__name__)
        if not EveryLayerDjangoInstrumentor().is_instrumented_by_opentelemetry:
            EveryLayerDjangoInstrumentor().instrument(skip_dep_check=True)
    else:
        if EveryLayerDjangoInstrumentor().is_instrumented_by_opentelemetry:
            EveryLayerDjangoInstrumentor().uninstrument()
        patches.uninstall()
        _strip(OWN)
    if arm == "bare":
        _strip(STOCK)
        stock = _BARE
    else:
        stock = _instrument()
    if shape != "raised":
        entry = shapes.Swallows if shape == "swallowed" else shapes.Translates
        _insert(f"{entry.__module__}.{entry.__qualname__}")
    return stock


def _strip(prefix: str) -> None:
    settings.MIDDLEWARE = [path for path in settings.MIDDLEWARE if not path.startswith(prefix)]


def _insert(path: str) -> None:
    """Make `path` the outermost of the app's own entries."""
    entries = settings.MIDDLEWARE
    at = next((i for i, each in enumerate(entries) if not each.startswith((OWN, STOCK))), None)
    entries.insert(len(entries) if at is None else at, path)


def _instrument() -> str:
    if _is_in():
        return ""
    try:
        from opentelemetry.instrumentation.django import DjangoInstrumentor
    except ImportError:
        return _ABSENT
    instrumentor: Any = DjangoInstrumentor()
    try:
        if instrumentor.is_instrumented_by_opentelemetry:
            # It was switched on for other settings, before there were these.
            instrumentor.uninstrument()
        instrumentor.instrument(skip_dep_check=True)
    except Exception as error:  # noqa: BLE001 - stock's, and told in the report
        return f"DjangoInstrumentor.instrument: {type(error).__name__}: {error}"
    return "" if _is_in() else "DjangoInstrumentor has not put itself into MIDDLEWARE"


def _is_in() -> bool:
    return any(path.startswith(STOCK) for path in settings.MIDDLEWARE)
