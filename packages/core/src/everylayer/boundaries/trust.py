"""Whom to believe: what a request claims of itself counts only where its peer is trusted.

The peer is who holds the other end of the connection. What a proxy says of somebody further out,
such as `X-Forwarded-For`, is a claim like any other, and is not asked.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Mapping
from types import FrameType
from typing import TYPE_CHECKING, Any

from ..failsafe import contained

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network

# Given the ASGI scope or the WSGI environ.
Hook = Callable[[Mapping[str, Any]], object]
# Frames from the one that asks a propagator to the one that has the request.
_NEAR = 16
WANTED = "networks such as '10.0.0.0/8', or functions of the app's such as 'shop.mesh:is_peer'"


def is_peer(peer: str) -> bool:
    """Tell whether `peer` may stand in the setting `trusted_peers`."""
    module, _, name = peer.partition(":")
    return _network(peer) is not None or (_dotted(module) and name.isidentifier())


def trusts(peers: tuple[str, ...], request: object) -> bool:
    """Tell whether the peer of a request is one of `peers`.

    Args:
        peers: the setting `trusted_peers`.
        request: the ASGI scope or the WSGI environ; anything else has no peer that can be told.
    """
    if not peers:
        return False
    found: Any = request if isinstance(request, dict) else _scope_behind(request)
    return (is_scope(found) or _is_environ(found)) and bool(_trusts(peers, found))


# By the types of values: of a carrier that holds headers, it is the peer who chooses the names.


def is_scope(carrier: Any) -> bool:
    """Tell an ASGI scope."""
    return (
        isinstance(carrier, dict)
        and isinstance(carrier.get("type"), str)
        and isinstance(carrier.get("headers"), (list, tuple))
    )


def _is_environ(carrier: Any) -> bool:
    return isinstance(carrier, dict) and isinstance(carrier.get("wsgi.version"), tuple)


def _scope_behind(carrier: Any) -> Any:
    """Return the scope whose headers `carrier` holds: FastAPI extracts from Starlette's object.

    Whoever has made that stands below, with the very same list.
    """
    raw = getattr(carrier, "_list", None)
    frame: FrameType | None = sys._getframe(1)
    for _ in range(_NEAR):
        if raw is None or frame is None:
            break
        scope = frame.f_locals.get("scope") if "scope" in frame.f_code.co_varnames else None
        if isinstance(scope, dict) and scope.get("headers") is raw:
            return scope
        frame = frame.f_back
    return None


@contained
def _trusts(peers: tuple[str, ...], request: Mapping[str, Any]) -> bool:
    address = None
    for peer in peers:
        network = _network(peer)
        if network is None:
            if _hook(peer)(request):
                return True
        else:
            address = address or _address(request)
            if address is not None and address.version == network.version and address in network:
                return True
    return False


def _address(request: Mapping[str, Any]) -> Any:
    from ipaddress import ip_address

    if "wsgi.version" in request:
        text = request.get("REMOTE_ADDR")
    else:
        text = (request.get("client") or [None])[0]
    try:
        # Within a scope, an IPv6 address names its interface too.
        address = ip_address(str(text).partition("%")[0])
    except ValueError:
        return None  # A socket of the file system, or a test client.
    return getattr(address, "ipv4_mapped", None) or address


@functools.lru_cache(maxsize=256)
def _network(peer: str) -> IPv4Network | IPv6Network | None:
    from ipaddress import ip_network

    try:
        return ip_network(peer)
    except ValueError:
        return None


@functools.lru_cache(maxsize=64)
def _hook(peer: str) -> Hook:
    module, _, name = peer.partition(":")
    found: Hook = getattr(importlib.import_module(module), name)
    return found


def _dotted(module: str) -> bool:
    return all(part.isidentifier() for part in module.split("."))
