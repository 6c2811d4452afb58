"""What a request says of its tenant: a claim, taken where the settings say so."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..failsafe import contained, count_failure
from ..settings import Settings, SettingsError
from . import trust
from .tenant import MAX_CHARS, checked

# The ASGI scope or the WSGI environ of a request.
Carrier = Mapping[str, Any]

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
# White space of HTTP around the value.
_MOST_BYTES = MAX_CHARS + 16
_MAX_NAMES = 4096
_NOT_READ = "such requests have no tenant"


class TenantRequest:
    """What a resolver is given of a request: the same under ASGI, WSGI and Django; read-only.

    Attributes:
        headers: a mapping that knows no case; of a header sent twice the values joined by commas.
    """

    __slots__ = ("_carrier", "_peers", "headers")

    def __init__(self, carrier: Carrier, peers: tuple[str, ...] = ()) -> None:
        self._carrier = carrier
        self._peers = peers
        self.headers: Mapping[str, str] = _Headers(carrier)

    @property
    def path(self) -> str:
        """The whole path, decoded, without the query."""
        if "REQUEST_METHOD" not in self._carrier:
            return str(self._carrier.get("path", ""))
        raw = f"{self._carrier.get('SCRIPT_NAME', '')}{self._carrier.get('PATH_INFO', '')}"
        return raw.encode("latin-1", "replace").decode("utf-8", "replace")

    @property
    def host(self) -> str:
        """What the request calls the server: of the header `Host`, without the port."""
        host = self.headers.get("host", "")
        return host if host.endswith("]") else re.sub(r":\d*$", "", host)

    @property
    def peer(self) -> str:
        """The address at the other end of the connection; empty where there is none."""
        client = self._carrier.get("client")
        if isinstance(client, (list, tuple)) and client:
            return str(client[0])
        return str(self._carrier.get("REMOTE_ADDR", ""))

    @property
    def trusted(self) -> bool:
        """Whether the peer is one of the setting `trusted_peers`."""
        return trust.trusts(self._peers, self._carrier)


class _Headers(Mapping[str, str]):
    __slots__ = ("_carrier",)

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier

    def __getitem__(self, name: str) -> str:
        found = _values(self._carrier, name.lower())
        if not found:
            raise KeyError(name)
        return ", ".join(found)

    def __iter__(self) -> Iterator[str]:
        if "REQUEST_METHOD" in self._carrier:
            for key in self._carrier:
                if key.startswith("HTTP_"):
                    yield key[5:].replace("_", "-").lower()
        else:
            names = (bytes(name).decode("latin-1").lower() for name, _ in self._lines())
            yield from dict.fromkeys(names)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _lines(self) -> Any:
        return self._carrier.get("headers", ())


def _values(carrier: Carrier, name: str) -> list[str]:
    """Return the values of header `name`, which is in lower case."""
    if "REQUEST_METHOD" in carrier:
        value = carrier.get("HTTP_" + name.upper().replace("-", "_"))
        return [] if value is None else [str(value)]
    key = name.encode("latin-1", "replace")
    return [
        bytes(value).decode("latin-1")
        for header, value in carrier.get("headers", ())
        if bytes(header).lower() == key
    ]


class Policy:
    """How the tenant of a request is found.

    Attributes:
        baggage: the key of baggage that carries it, empty for none.
    """

    __slots__ = ("_header", "_names", "_peers", "_resolver", "_variable", "baggage")

    def __init__(self, rules: Settings, resolver: Callable[..., Any] | None) -> None:
        self._header = rules.tenant_header.lower().encode()
        self._variable = "HTTP_" + rules.tenant_header.upper().replace("-", "_")
        self._resolver = resolver
        self._peers = rules.trusted_peers
        # As read; by what the header says, so that each is checked once.
        self._names: dict[str | bytes, str] = {}
        self.baggage = rules.tenant_baggage

    def tenant_of(self, carrier: Carrier) -> str:
        """Return the tenant of a request; empty where it has none, or says something else."""
        if self._resolver is not None:
            return self._resolved(carrier)
        return self._claimed(carrier) or ""

    def _resolved(self, carrier: Carrier) -> str:
        assert self._resolver is not None
        try:
            found = self._resolver(TenantRequest(carrier, self._peers))
        except Exception:  # noqa: BLE001 - the app's own; its request goes on
            count_failure(f"tenant_resolver {_name(self._resolver)}", lost=_NOT_READ)
            return ""
        return checked(found)

    @contained
    def _claimed(self, carrier: Carrier) -> str:
        wsgi = "REQUEST_METHOD" in carrier
        value = carrier.get(self._variable) if wsgi else self._line(carrier)
        if value is None:
            return self._carried(carrier) if self.baggage else ""
        if self._peers and not trust.trusts(self._peers, carrier):
            return ""
        return self._names.get(value) or self._read(value)

    def _read(self, value: str | bytes) -> str:
        if len(value) > _MOST_BYTES:
            return ""
        text = value if isinstance(value, str) else bytes(value).decode("latin-1")
        name = checked(text.strip(" \t"))
        if name:
            if len(self._names) >= _MAX_NAMES:
                self._names.clear()  # They come from outside.
            self._names[value] = name
        return name

    def _line(self, carrier: Carrier) -> bytes | None:
        name = self._header
        found: bytes | None = None
        for header, value in carrier.get("headers", ()):
            # Servers give names in lower case.
            if header == name:
                if found is not None and found != value:
                    return b""
                found = value
        return found

    def _carried(self, carrier: Carrier) -> str:
        values = _values(carrier, "baggage")
        if not values or not trust.trusts(self._peers, carrier):
            return ""
        from opentelemetry import baggage
        from opentelemetry.baggage.propagation import W3CBaggagePropagator

        context = W3CBaggagePropagator().extract({"baggage": values[:1]})
        return checked(baggage.get_baggage(self.baggage, context))


def policy_of(rules: Settings) -> Policy | None:
    """Return how tenants are found by `rules`, None where nobody asks.

    Raises:
        SettingsError: naming the setting that does not fit, and the remedy.
    """
    if rules.tenant == "off" or not rules.enabled:
        return None
    if _TOKEN.fullmatch(rules.tenant_header) is None:
        raise _bad("tenant_header", rules.tenant_header, "the name of a header")
    if rules.tenant_baggage and _TOKEN.fullmatch(rules.tenant_baggage) is None:
        raise _bad("tenant_baggage", rules.tenant_baggage, "a key of baggage, or empty")
    if rules.tenant == "header":
        return Policy(rules, None)
    return Policy(rules, _found(rules.tenant_resolver))


def _found(given: str | Callable[..., Any]) -> Callable[..., Any]:
    resolver: Any = given
    if isinstance(given, str):
        module, _, name = given.partition(":")
        if not module or not name.isidentifier():
            raise _bad("tenant_resolver", given, "a function, or 'package.module:function'")
        try:
            resolver = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise _bad("tenant_resolver", given, f"there to be imported ({error})") from error
    asynchronous = inspect.iscoroutinefunction(resolver) or inspect.iscoroutinefunction(
        getattr(resolver, "__call__", None)  # noqa: B004 - of an object with an async `__call__`
    )
    if not callable(resolver) or asynchronous:
        raise _bad("tenant_resolver", given, "a function that returns the tenant, not a coroutine")
    return resolver  # type: ignore[no-any-return]


def _bad(name: str, value: object, wanted: str) -> SettingsError:
    return SettingsError(f"everylayer setting {name} is {value!r:.200}; it must be {wanted}.")


def _name(resolver: Any) -> str:
    return f"{getattr(resolver, '__module__', '?')}:{getattr(resolver, '__qualname__', '?')}"
