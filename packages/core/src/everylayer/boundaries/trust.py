"""Whom to believe: what a request claims of itself counts only where its peer is trusted.

The peer is who holds the other end of the connection. What a proxy says of somebody further out,
such as `X-Forwarded-For`, is a claim like any other, and is not asked.
"""

from __future__ import annotations

import functools
import importlib
import re
import sys
from collections.abc import Callable, Collection, Mapping
from types import FrameType
from typing import TYPE_CHECKING, Any

from ..failsafe import contained

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network

# Given the ASGI scope, the WSGI environ, or what stands for an RPC, which is like a scope.
Hook = Callable[[Mapping[str, Any]], object]
# Frames from the one that asks a propagator to the one that has the request.
_NEAR = 16
WANTED = (
    "networks such as '10.0.0.0/8', functions of the app's such as 'shop.mesh:is_peer', or names "
    "in certificates such as 'x509:CN=billing' and 'spiffe://shop.example/billing'"
)
# In a request: what a certificate says of its peer, once whoever ends TLS here has verified it.
IDENTITIES = "everylayer.identities"
_IDENTITY = re.compile(r"x509:(CN|DNS|URI|subject)=.+|spiffe://[^/*]+/.+")

# Asked for the request behind a carrier that does not tell: None if it belongs to none.
finders: list[Callable[[Any], Mapping[str, Any] | None]] = []


def is_peer(peer: str) -> bool:
    """Tell whether `peer` may stand in the setting `trusted_peers`."""
    module, _, name = peer.partition(":")
    return (
        _is_identity(peer)
        or _network(peer) is not None
        or (_dotted(module) and name.isidentifier())
    )


def trusts(peers: tuple[str, ...], request: object) -> bool:
    """Tell whether the peer of a request is one of `peers`.

    Args:
        peers: the setting `trusted_peers`.
        request: the ASGI scope or the WSGI environ; anything else has no peer that can be told,
            unless one of `finders` knows it.
    """
    if not peers:
        return False
    found: Any = request if isinstance(request, dict) else _scope_behind(request)
    if not (is_scope(found) or _is_environ(found)):
        found = _found(request) if finders else None
    return found is not None and bool(_trusts(peers, found))


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
def _found(carrier: object) -> Mapping[str, Any] | None:
    return next((found for find in finders if (found := find(carrier)) is not None), None)


@contained
def _trusts(peers: tuple[str, ...], request: Mapping[str, Any]) -> bool:
    address = None
    for peer in peers:
        if _is_identity(peer):
            if _is_named(peer, request.get(IDENTITIES, ())):
                return True
            continue
        network = _network(peer)
        if network is None:
            if _hook(peer)(request):
                return True
        else:
            address = address or _address(request)
            if address is not None and address.version == network.version and address in network:
                return True
    return False


def _is_identity(peer: str) -> bool:
    return _IDENTITY.fullmatch(peer) is not None


def _is_named(peer: str, identities: Collection[str]) -> bool:
    """Tell whether a certificate says `peer`; one of SPIFFE's that ends in `/*` is a prefix."""
    if peer.startswith("spiffe://") and peer.endswith("/*"):
        return any(identity.startswith(peer[:-1]) for identity in identities)
    return peer in identities


def _address(request: Mapping[str, Any]) -> Any:
    if "wsgi.version" in request:
        text = request.get("REMOTE_ADDR")
    else:
        text = (request.get("client") or [None])[0]
    return _read(str(text))


# Whoever is trusted comes again and again.
@functools.lru_cache(maxsize=256)
def _read(text: str) -> Any:
    import ipaddress
    import socket

    try:
        packed = socket.inet_aton(text)
    except (OSError, ValueError):
        packed = b""
    # `ipaddress` reads digit by digit. Other spellings, which mean different things to others, and
    # all that is no such address, are left to it.
    if packed and socket.inet_ntoa(packed) == text:
        return ipaddress.IPv4Address(packed)
    try:
        # Within a scope, an IPv6 address names its interface too.
        address = ipaddress.ip_address(text.partition("%")[0])
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
