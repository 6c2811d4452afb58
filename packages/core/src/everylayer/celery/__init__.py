"""Celery: a task's errors land in the trace of the request that sent it.

    everylayer.celery.instrument()     # in the web process and in the worker

Beside opentelemetry-instrumentation-celery they land on its span of the task, once.
"""

from __future__ import annotations

from .tasks import instrument, uninstrument

__all__ = ["instrument", "uninstrument"]
