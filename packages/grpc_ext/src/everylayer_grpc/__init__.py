"""gRPC's interceptors and servicers on the active OpenTelemetry span."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

try:
    import grpc as _grpc  # noqa: F401 - to say clearly what is missing
except ModuleNotFoundError as _error:
    raise ImportError(
        "everylayer_grpc needs grpcio 1.60 or later, which is not installed: "
        "pip install 'grpcio>=1.60'"
    ) from _error

if TYPE_CHECKING:
    from .binary import BinaryPropagator
    from .interceptors import (
        aio_client_interceptors,
        aio_server_interceptor,
        client_interceptors,
        server_interceptor,
    )

__version__ = "0.1.0"

__all__ = [
    "BinaryPropagator",
    "__version__",
    "aio_client_interceptors",
    "aio_server_interceptor",
    "client_interceptors",
    "server_interceptor",
]


def __getattr__(name: str) -> Any:
    # Naming an interceptor puts the seams in place; loading the instrumentor alone must not.
    if name == "BinaryPropagator":
        from .binary import BinaryPropagator

        return BinaryPropagator
    if name in __all__:
        from . import interceptors

        return getattr(interceptors, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
