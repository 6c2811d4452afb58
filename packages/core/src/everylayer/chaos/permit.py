"""Where faults may be put: only where whoever starts the process has said so."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote

from opentelemetry import trace

from .errors import ChaosRefused

VARIABLE = "EVERYLAYER_CHAOS_ENVIRONMENT"
ALLOWED = ("staging", "test", "development")

_RESOURCE = "OTEL_RESOURCE_ATTRIBUTES"
_NAMES = ("deployment.environment.name", "deployment.environment")
_LIVE = re.compile(r"(?:prod(?:uction)?|prd|live)\d*")
_NOT = ("pre", "non", "not")


def check(environ: Mapping[str, str]) -> None:
    """Let chaos begin, or not.

    Raises:
        ChaosRefused: the environment is not declared, or a resource says production.
    """
    declared = environ.get(VARIABLE, "").strip().lower()
    if not declared:
        raise ChaosRefused(
            f"Chaos is off: {VARIABLE} is not set. Where faults may be put, start the process "
            f"with {VARIABLE}=staging."
        )
    if declared not in ALLOWED:
        raise ChaosRefused(
            f"Chaos is refused: {VARIABLE} is {declared!r:.100}; it must be one of "
            f"{', '.join(ALLOWED)}."
        )
    for source, name in (*_from_variable(environ), *_from_provider()):
        if is_live(name):
            raise ChaosRefused(
                f"Chaos is refused: {source} says that this is {name!r:.100}, although {VARIABLE} "
                f"says {declared}. Correct whichever is wrong."
            )


def is_live(name: str) -> bool:
    """Tell whether an environment's name is one for real users, such as `eu-prod2`."""
    words = re.split(r"[^a-z0-9]+", name.lower())
    return any(
        _LIVE.fullmatch(word) and (not before or before not in _NOT)
        for before, word in zip(["", *words], words, strict=False)
    )


def _from_variable(environ: Mapping[str, str]) -> list[tuple[str, str]]:
    found = []
    for part in environ.get(_RESOURCE, "").split(","):
        key, _, value = part.partition("=")
        if key.strip() in _NAMES:
            found.append((_RESOURCE, unquote(value).strip()))
    return found


def _from_provider() -> list[tuple[str, str]]:
    resource = getattr(trace.get_tracer_provider(), "resource", None)
    given: Mapping[str, object] = getattr(resource, "attributes", None) or {}
    return [
        ("the tracer provider's resource", str(given[name])) for name in _NAMES if name in given
    ]
