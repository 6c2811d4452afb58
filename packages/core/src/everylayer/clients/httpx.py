"""httpx: `everylayer.clients.httpx.attach(client)`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from . import responses

if TYPE_CHECKING:
    import httpx

ClientT = TypeVar("ClientT", bound="httpx.Client | httpx.AsyncClient")


def attach(client: ClientT, hosts: list[str] | tuple[str, ...] = ("*",)) -> ClientT:
    """Have errors raised for a response of `client` linked to where they began.

    A hook of its own on the client, before the others; once only.

    Args:
        client: a client, synchronous or asynchronous.
        hosts: patterns of those that are listened to, such as `*.internal`.

    Returns:
        The same client.

    Raises:
        ImportError: httpx is not installed.
        TypeError: for anything but a client.
    """
    try:
        import httpx
    except ImportError as error:
        raise responses.missing("httpx") from error
    if not isinstance(client, (httpx.Client, httpx.AsyncClient)):
        raise responses.no_client(client, "an httpx.Client or httpx.AsyncClient")
    listened = responses.checked(hosts)
    detach(client)
    kind = _AsyncHook if isinstance(client, httpx.AsyncClient) else _Hook
    client.event_hooks["response"].insert(0, kind(listened))
    return client


def detach(client: httpx.Client | httpx.AsyncClient) -> None:
    """Undo `attach`."""
    hooks: list[Callable[..., Any]] = client.event_hooks["response"]
    hooks[:] = [hook for hook in hooks if not isinstance(hook, _Hook)]


class _Hook:
    __slots__ = ("hosts",)

    def __init__(self, hosts: responses.Hosts) -> None:
        self.hosts = hosts

    def __call__(self, response: httpx.Response) -> Any:
        if response.status_code >= 500:
            host = response.request.url.host
            responses.take(response, response.status_code, host, response.headers, self.hosts)


class _AsyncHook(_Hook):
    __slots__ = ()

    async def __call__(self, response: httpx.Response) -> None:
        super().__call__(response)
