"""The interceptors that an app names: one line, at any position."""

from __future__ import annotations

from typing import Any

from everylayer.settings import resolve

from . import patches
from .aio_server import AioServerSeam
from .server import ServerSeam


def server_interceptor(**settings: Any) -> ServerSeam:
    """Return the interceptor for `grpc.server(..., interceptors=[...])`, at any position.

    Args:
        **settings: over `everylayer.configure()` and the variables `EVERYLAYER_*`.

    Raises:
        SettingsError: for a setting that cannot be used.
    """
    patches.install()
    return ServerSeam(resolve(settings))


def aio_server_interceptor(**settings: Any) -> AioServerSeam:
    """Return the interceptor for `grpc.aio.server(interceptors=[...])`, at any position.

    Args:
        **settings: over `everylayer.configure()` and the variables `EVERYLAYER_*`.

    Raises:
        SettingsError: for a setting that cannot be used.
    """
    patches.install()
    return AioServerSeam(resolve(settings))
