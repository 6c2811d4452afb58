"""Whose request this is: a value of the context, set for a request by the seams around it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import Any

from opentelemetry.trace import Span

from ..sinks import attributes

# None outside of any request; empty in one that has no tenant.
CURRENT: ContextVar[str | None] = ContextVar("everylayer.tenant", default=None)

MAX_CHARS = 128
_VALID = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._:@-]{{0,{MAX_CHARS - 1}}}")


def tenant() -> str | None:
    """Return the tenant of the request, or job, that this code works for; None if it has none."""
    return CURRENT.get() or None


@contextmanager
def use_tenant(name: str | None) -> Iterator[None]:
    """Work for `name` within the block: for jobs, which come without a request.

    Raises:
        ValueError: `name` is no tenant's: letters, digits and `. _ : @ -`, at most 128.
    """
    if name is not None and not checked(name):
        raise ValueError(
            f"{name!r:.200} cannot be a tenant: it must begin with a letter or a digit and hold "
            f"only letters, digits and . _ : @ -, at most {MAX_CHARS} of them, all ASCII"
        )
    token = CURRENT.set(name or "")
    try:
        yield
    finally:
        leave(token)


def checked(value: object) -> str:
    """Return `value` if it can be a tenant's name, else an empty string."""
    if type(value) is str and len(value) <= MAX_CHARS and _VALID.fullmatch(value):
        return value
    return ""


def leave(token: Token[str | None]) -> None:
    """Make the tenant what it was before `token` was given for another one."""
    try:
        CURRENT.reset(token)
    except ValueError:
        # A coroutine that is closed from elsewhere: its own context, and the value, are gone.
        return


def of_span(span: Span | None) -> str:
    """Return the tenant that `span` names, also once it has ended."""
    found: Any = getattr(span, "attributes", None)
    return checked(found.get(attributes.TENANT)) if found else ""
