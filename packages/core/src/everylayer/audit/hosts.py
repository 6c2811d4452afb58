"""Which host a request asks for, where an app answers for its own ones alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from .model import Request

DEFAULT = "localhost"


def choose(allowed: Iterable[str]) -> str:
    """Return a host that `allowed` lets in, that of the machine where it may be.

    Args:
        allowed: names, `*`, and patterns such as `.example.org` or `*.example.org`.
    """
    names = [name.strip() for name in allowed if isinstance(name, str) and name.strip()]
    if not names or {"*", DEFAULT} & set(names):
        return DEFAULT
    plain = [name for name in names if not name.startswith((".", "*"))]
    return plain[0] if plain else f"www.{names[0].lstrip('*').lstrip('.')}"


def ask(request: Request, host: str) -> Request:
    """Return `request` for `host`, unless it names one."""
    if any(name.lower() == "host" for name, _ in request.headers):
        return request
    return dataclasses.replace(request, headers=(("Host", host), *request.headers))
