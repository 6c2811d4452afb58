"""The interceptors that an app names: one line, at any position."""

from __future__ import annotations

from typing import Any

import grpc
from grpc import aio

from everylayer.settings import resolve

from . import aio_client, patches, stock_client
from .aio_server import AioServerSeam
from .client import ClientSeam
from .server import ServerSeam


def server_interceptor(**settings: Any) -> grpc.ServerInterceptor:
    """Return the interceptor for `grpc.server(..., interceptors=[...])`, at any position.

    Args:
        **settings: over `everylayer.configure()` and the variables `EVERYLAYER_*`.

    Raises:
        SettingsError: for a setting that cannot be used.
    """
    patches.install()
    return ServerSeam(resolve(settings))


def aio_server_interceptor(**settings: Any) -> aio.ServerInterceptor:
    """Return the interceptor for `grpc.aio.server(interceptors=[...])`, at any position.

    Args:
        **settings: over `everylayer.configure()` and the variables `EVERYLAYER_*`.

    Raises:
        SettingsError: for a setting that cannot be used.
    """
    patches.install()
    return AioServerSeam(resolve(settings))


def client_interceptors(**settings: Any) -> tuple[ClientSeam]:
    """Return the interceptors for `grpc.intercept_channel(channel, *client_interceptors())`.

    Args:
        **settings: over `everylayer.configure()` and the variables `EVERYLAYER_*`.

    Raises:
        SettingsError: for a setting that cannot be used.
    """
    patches.install_client()
    return (ClientSeam(resolve(settings), stock_client.begins),)


def aio_client_interceptors(**settings: Any) -> list[Any]:
    """Return the interceptors for `grpc.aio.insecure_channel(..., interceptors=[...])`.

    Args:
        **settings: over `everylayer.configure()` and the variables `EVERYLAYER_*`.

    Raises:
        SettingsError: for a setting that cannot be used.
    """
    patches.install_client()
    rules = resolve(settings)
    return [kind(rules) for kind in aio_client.KINDS]
