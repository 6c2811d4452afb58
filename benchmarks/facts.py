"""What a reader needs to know of a run: versions and numbers, no names and no paths."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib import metadata
from typing import Any

PACKAGES = (
    "everylayer",
    "opentelemetry-sdk",
    "opentelemetry-instrumentation",
    "sentry-sdk",
    "django",
    "flask",
    "starlette",
    "uvicorn",
    "gunicorn",
    "jinja2",
)


def gather(arguments: Sequence[str]) -> dict[str, Any]:
    """Return the facts of this run.

    Args:
        arguments: given after `--` to the session.
    """
    extra = f" -- {' '.join(arguments)}" if arguments else ""
    return {
        "command": f"python -m nox -s bench{extra}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "versions": {name: _version(name) for name in PACKAGES},
        "load": [],
    }


def load() -> float:
    """Return how many processes wanted to run in the last minute."""
    return round(os.getloadavg()[0], 2)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
