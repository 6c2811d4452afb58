"""What the request of an error says of itself, read when the first error of it is seen."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..failsafe import contained
from ..ledger import Ledger
from ..sinks.integrity import HEADER as TRACEPARENT
from . import trust

REQUEST_ID = "x-request-id"
ATTEMPT = "x-envoy-attempt-count"
# Identifiers as Envoy, nginx and Heroku make them; nothing that could be a sentence.
_ID = re.compile(r"[A-Za-z0-9._:/+=~-]{1,128}")
_COUNT = re.compile(r"[1-9][0-9]{0,3}")


class Arrival(NamedTuple):
    """Claims of a request, within bounds.

    Attributes:
        request_id: empty where there is none that fits.
        attempt: of a proxy that tries again, 1 the first; 0 where nobody counts.
        trusted: its peer is one of the setting `trusted_peers`; looked at only if that matters.
        traceparent: the trace it came with, as it came; empty where metrics do not ask.
    """

    request_id: str
    attempt: int
    trusted: bool
    traceparent: str = ""


@contained
def note(ledger: Ledger | None, request: Mapping[str, Any] | None) -> None:
    """Let the page of `ledger` know what `request` says of itself; the first call counts.

    Args:
        ledger: the request's; only one that has seen an error has a page.
        request: the ASGI scope or the WSGI environ; of any other framework, what stands for a
            scope: `type`, `headers` in bytes, `client`.
    """
    page = ledger.page if ledger is not None else None
    if ledger is None or page is None or page.came is not None or request is None:
        return
    rules = ledger.settings
    said = header(request, REQUEST_ID)
    count = attempt_in(header(request, ATTEMPT))
    tells = rules.error_context != "off"
    page.came = Arrival(
        said if said and _ID.fullmatch(said) else "",
        count,
        tells and trust.trusts(rules.trusted_peers, request),
        header(request, TRACEPARENT) if rules.metrics else "",
    )


def attempt_in(text: str) -> int:
    """Return the number of an attempt, 0 for what is none."""
    return int(text) if text and _COUNT.fullmatch(text) else 0


@functools.cache
def _spellings(name: str) -> tuple[bytes, str]:
    """Return how ASGI and WSGI spell the name of a header; there are but a few names."""
    return name.encode(), "HTTP_" + name.upper().replace("-", "_")


def header(request: Mapping[str, Any], name: str) -> str:
    """Return the first header of this name, in lower case; empty where there is none."""
    headers = request.get("headers")
    if not isinstance(headers, (list, tuple)):
        value = request.get(_spellings(name)[1])
        return value if isinstance(value, str) else ""
    wanted = _spellings(name)[0]
    size = len(wanted)
    for key, value in headers:
        if len(key) == size and bytes(key).lower() == wanted:
            return bytes(value).decode("latin-1")
    return ""
