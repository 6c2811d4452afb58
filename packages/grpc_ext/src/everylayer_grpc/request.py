"""An RPC as the core knows requests: in the shape of an ASGI scope, with the peer's identities."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from everylayer.boundaries import trust
from everylayer.failsafe import contained

from .span import peer_of

# Of gRPC's auth context, each with what `trusted_peers` calls it.
_NAMES = {
    "x509_common_name": "x509:CN=",
    "x509_subject": "x509:subject=",
    "peer_dns": "x509:DNS=",
    "peer_uri": "x509:URI=",
    "peer_spiffe_id": "",
}


def scope_of(
    method: str, metadata: Sequence[tuple[str, str | bytes]], context: Any
) -> dict[str, Any]:
    """Return what `trusted_peers`, tenants and the rest of the core are asked about.

    Args:
        method: the full name, `/package.Service/Method`.
        metadata: what the client sent.
        context: gRPC's, if the RPC came so far: it knows the peer.
    """
    peer = peer_of(context) or {}
    address = peer.get("network.peer.address")
    return {
        "type": "grpc",
        "path": method,
        "headers": [(key.encode("latin-1", "replace"), _bytes(v)) for key, v in metadata],
        "client": None if address is None else (address, peer["network.peer.port"]),
        trust.IDENTITIES: _identities(context) or (),
    }


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("latin-1", "replace")


@contained
def _identities(context: Any) -> tuple[str, ...]:
    """Return what the peer's certificate says; gRPC shows none that it has not verified."""
    ask = getattr(context, "auth_context", None)
    return () if ask is None else tuple(_named(ask() or {}))


def _named(known: Mapping[str, Any]) -> Iterator[str]:
    for key, prefix in _NAMES.items():
        for value in known.get(key, ()):
            yield prefix + bytes(value).decode("utf-8", "replace")
