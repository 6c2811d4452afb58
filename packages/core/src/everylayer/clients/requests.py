"""requests: `everylayer.clients.requests.attach(session)`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from . import responses

if TYPE_CHECKING:
    import requests

SessionT = TypeVar("SessionT", bound="requests.Session")


def attach(session: SessionT, hosts: list[str] | tuple[str, ...] = ("*",)) -> SessionT:
    """Have errors raised for a response of `session` linked to where they began.

    A hook of its own on the session, before the others; once only. A request with `hooks` of its
    own does without the session's: so requests wants it.

    Args:
        session: a session.
        hosts: patterns of those that are listened to, such as `*.internal`.

    Returns:
        The same session.

    Raises:
        ImportError: requests is not installed.
        TypeError: for anything but a session.
    """
    try:
        import requests
    except ImportError as error:
        raise responses.missing("requests") from error
    if not isinstance(session, requests.Session):
        raise responses.no_client(session, "a requests.Session")
    listened = responses.checked(hosts)
    detach(session)
    session.hooks["response"].insert(0, _Hook(listened))
    return session


def detach(session: requests.Session) -> None:
    """Undo `attach`."""
    hooks: list[Any] = session.hooks["response"]
    hooks[:] = [hook for hook in hooks if not isinstance(hook, _Hook)]


class _Hook:
    __slots__ = ("hosts",)

    def __init__(self, hosts: responses.Hosts) -> None:
        self.hosts = hosts

    def __call__(self, response: requests.Response, *args: Any, **kwargs: Any) -> None:
        if response.status_code >= 500:
            responses.take(
                response,
                response.status_code,
                urlsplit(response.url).hostname or "",
                response.headers,
                self.hosts,
                responses.tried_again(getattr(response.raw, "retries", None)),
            )
