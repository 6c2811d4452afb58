"""What the hooks of all clients do with a response."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from .. import settings
from ..boundaries.arrival import attempt_in
from ..boundaries.received import remember
from ..failsafe import contained

# Envoy counts in the response too, with `include_attempt_count_in_response`.
_ATTEMPTS = "x-envoy-attempt-count"
Hosts = tuple[str, ...]


def checked(hosts: object) -> Hosts:
    """Return the patterns of hosts that are listened to.

    Raises:
        TypeError: they are no tuple or list of strings.
    """
    if isinstance(hosts, (tuple, list)) and all(isinstance(host, str) for host in hosts):
        return tuple(host.lower() for host in hosts)
    raise TypeError(
        f"hosts is {hosts!r:.200}; it must be a list of host names, such as ['*.internal']."
    )


def no_client(client: object, wanted: str) -> TypeError:
    """Return the error for what is no client of the library."""
    if isinstance(client, type):
        return TypeError(f"attach takes {wanted}, not a class: attach({client.__name__}()).")
    return TypeError(f"attach takes {wanted}; it got an object of {type(client).__qualname__}.")


def missing(library: str) -> ImportError:
    """Return the error for a library that is not installed."""
    return ImportError(
        f"everylayer.clients.{library} needs {library}, which is not installed: "
        f"pip install {library}"
    )


def tried_again(retries: Any) -> int:
    """Return how often urllib3 sent a request again, redirects left out."""
    history: Any = getattr(retries, "history", ())
    return sum(entry.redirect_location is None for entry in history)


@contained
def take(
    response: object,
    status: int,
    host: str,
    headers: Mapping[str, Any],
    hosts: Hosts,
    retried: int = 0,
) -> None:
    """Keep what a failing response says of its error.

    Args:
        response: the object that the app is given.
        status: of it.
        host: that was asked.
        headers: of it, whatever the case of their names.
        hosts: patterns of those that are listened to.
        retried: how often the client itself has tried again.
    """
    if status < 500 or not any(fnmatchcase(host.lower(), pattern) for pattern in hosts):
        return
    value = headers.get(settings.current().error_context_header)
    if value:
        counted = attempt_in(str(headers.get(_ATTEMPTS, "")))
        remember(response, value, max(counted, retried + 1 if retried else 0))
