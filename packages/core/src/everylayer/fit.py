"""Does what a seam replaces still look as it did? If not, it is left alone, and that is said."""

from __future__ import annotations

import inspect
import logging
from typing import Any

_logger = logging.getLogger("everylayer")
_ANYTHING = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}


def takes(function: Any, *known: str) -> bool:
    """Tell whether the parameters of `function` are one of `known`, names with spaces between."""
    try:
        found = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False
    if " ".join(found) in known:
        return True
    # Other instrumentation may stand there already, and hand on whatever it is given.
    rest = [p.kind for name, p in found.items() if name != "self"]
    return bool(rest) and set(rest) == _ANYTHING


def warn_left_alone(target: str, distribution: str, missing: str, package: str) -> None:
    """Say that `target` is not what it was, and what follows.

    Args:
        target: dotted name of the function.
        distribution: what brings it.
        missing: what only shows there.
        package: the distribution of ours to look for a newer version of.
    """
    _logger.warning(
        "everylayer does not know %s of %s and leaves it alone; missing or wrong in the trace may "
        "be: %s. The app is not affected. Look for a newer %s.",
        target,
        _with_version(distribution),
        missing,
        package,
    )


def _with_version(distribution: str) -> str:
    # Dear to load, and with the oldest OpenTelemetry nothing else has.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"{distribution} {version(distribution)}"
    except PackageNotFoundError:
        return distribution  # in a bundle, say, that has no metadata
