"""What each arm has in MIDDLEWARE: of everylayer's, and of OpenTelemetry's own."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from everylayer.audit.model import Arm

from .. import patches
from ..locate import OWN, STOCK

_install = patches.install
_BARE = "the bare arm runs without telemetry"


def prepare(arm: Arm) -> None:
    """Have the app's own line of everylayer do what it does in `arm`."""
    if arm == "everylayer":
        _replace_install(_install)
        return
    # Settings alone would leave in place what keeps stock from failing.
    patches.uninstall()
    _replace_install(_nothing)


def complete(arm: Arm) -> str:
    """Make MIDDLEWARE that of `arm`; return why stock is not on, "" if it is."""
    unwanted = {"bare": (OWN, STOCK), "stock": (OWN,), "everylayer": ()}[arm]
    settings.MIDDLEWARE = [
        path for path in settings.MIDDLEWARE if not path.startswith(tuple(unwanted))
    ]
    if arm == "bare":
        return _BARE
    if arm == "everylayer":
        patches.install()
    return _switch_on_stock()


def is_instrumentation(path: str) -> bool:
    """Tell whether an entry of MIDDLEWARE is everylayer's or OpenTelemetry's."""
    return path.startswith((OWN, STOCK))


def _switch_on_stock() -> str:
    try:
        from opentelemetry.instrumentation.django import DjangoInstrumentor
    except ImportError:
        return "opentelemetry-instrumentation-django is not installed"
    instrumentor: Any = DjangoInstrumentor()
    entry = instrumentor._opentelemetry_middleware
    if entry in settings.MIDDLEWARE:
        return ""
    if instrumentor.is_instrumented_by_opentelemetry:
        # Of other settings, before those of the project were read.
        settings.MIDDLEWARE = [entry, *settings.MIDDLEWARE]
        return ""
    conflict = instrumentor._check_dependency_conflicts()
    if conflict is not None:
        return str(conflict)
    instrumentor.instrument(skip_dep_check=True)
    if entry in settings.MIDDLEWARE:
        return ""
    return "the environment has OTEL_PYTHON_DJANGO_INSTRUMENT=False"


def _nothing() -> None:
    """Stand for `patches.install` where everylayer is to be inert."""


def _replace_install(install: Any) -> None:
    patches.install = install
