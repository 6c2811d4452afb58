"""urllib3: `everylayer.clients.urllib3.attach(manager)`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from . import responses

if TYPE_CHECKING:
    import urllib3

ManagerT = TypeVar("ManagerT", bound="urllib3.PoolManager | urllib3.HTTPConnectionPool")


def attach(manager: ManagerT, hosts: list[str] | tuple[str, ...] = ("*",)) -> ManagerT:
    """Have errors raised while a response of `manager` is dealt with linked to where they began.

    urllib3 raises for no status by itself, and has no hooks: `urlopen` of this object is replaced.

    Args:
        manager: a pool manager, or a pool of connections.
        hosts: patterns of those that are listened to, such as `*.internal`.

    Returns:
        The same manager.

    Raises:
        ImportError: urllib3 is not installed.
        TypeError: for anything but a manager or a pool.
    """
    try:
        import urllib3
    except ImportError as error:
        raise responses.missing("urllib3") from error
    if not isinstance(manager, (urllib3.PoolManager, urllib3.HTTPConnectionPool)):
        raise responses.no_client(manager, "a urllib3.PoolManager or HTTPConnectionPool")
    listened = responses.checked(hosts)
    detach(manager)
    vars(manager)["urlopen"] = _Opened(manager.urlopen, getattr(manager, "host", ""), listened)
    return manager


def detach(manager: urllib3.PoolManager | urllib3.HTTPConnectionPool) -> None:
    """Undo `attach`."""
    if isinstance(vars(manager).get("urlopen"), _Opened):
        del vars(manager)["urlopen"]


class _Opened:
    __slots__ = ("_host", "_hosts", "_urlopen")

    def __init__(self, urlopen: Any, host: str, hosts: responses.Hosts) -> None:
        self._urlopen = urlopen
        self._host = host
        self._hosts = hosts

    def __call__(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        response = self._urlopen(method, url, *args, **kwargs)
        if response.status >= 500:
            host = urlsplit(url).hostname or self._host
            retried = responses.tried_again(response.retries)
            responses.take(response, response.status, host, response.headers, self._hosts, retried)
        return response
