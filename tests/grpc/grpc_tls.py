"""Certificates of an authority that lives as long as the tests, and what a server makes of them."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from grpc_pair import Tls

SPIFFE = "spiffe://shop.example/ns/pay/billing"
BILLING = (
    x509.UniformResourceIdentifier(SPIFFE),
    x509.DNSName("billing.internal"),
)
SERVER = (x509.IPAddress(ipaddress.ip_address("127.0.0.1")),)


class Pair(NamedTuple):
    """A certificate and its key, in PEM."""

    key: bytes
    certificate: bytes


class Authority:
    """Signs certificates."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named("test authority")
        made = self._builder("test authority", self._key.public_key(), authority=True)
        self.root = _pem(made.sign(self._key, hashes.SHA256()))

    def issue(self, name: str, names: Sequence[x509.GeneralName] = ()) -> Pair:
        """Return a certificate for the subject `CN=name`, with further `names`."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(name, key.public_key(), authority=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return Pair(private, _pem(builder.sign(self._key, hashes.SHA256())))

    def _builder(self, name: str, key: Any, *, authority: bool) -> x509.CertificateBuilder:
        now = datetime.now(timezone.utc)
        return (
            x509.CertificateBuilder()
            .subject_name(_named(name))
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )


def mutual(authority: Authority, server: Pair, client: Pair | None) -> Tls:
    """Return what a server that asks for certificates shows, and a client with or without one."""
    return Tls(
        grpc.ssl_server_credentials(
            [(server.key, server.certificate)],
            root_certificates=authority.root,
            require_client_auth=True,
        ),
        grpc.ssl_channel_credentials(
            authority.root,
            None if client is None else client.key,
            None if client is None else client.certificate,
        ),
    )


def is_billing(request: Mapping[str, Any]) -> bool:
    """Tell a peer that an app trusts by a function of its own."""
    return "x509:CN=billing" in request["everylayer.identities"] and request["type"] == "grpc"


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
