"""Starlette's own app class, whatever stands for it by now.

OpenTelemetry's instrumentation puts a subclass in its place, and may have done so before this
package is loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from starlette import applications

__all__ = ["REPLACEMENTS", "Starlette"]

if TYPE_CHECKING:
    from starlette.applications import Starlette
else:
    Starlette = next(
        cls for cls in applications.Starlette.__mro__ if cls.__module__ == applications.__name__
    )

# What stands in for methods of these. Told by identity: `functools.wraps` gives the attributes of
# one to what others put around it.
REPLACEMENTS: WeakSet[Any] = WeakSet()
