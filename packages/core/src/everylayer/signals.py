"""Where exceptions are told, as OpenTelemetry's own variable asks: on spans, in logs, or both."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Mapping

_logger = logging.getLogger("everylayer")
_SIGNAL_OPT_IN = "OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN"


def wanted(environ: Mapping[str, str] | None = None) -> tuple[bool, bool]:
    """Return (span events, log events) as `OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN` asks.

    Source: semantic-conventions docs/exceptions/README.md; other values count as unset.
    """
    if environ is None:
        return _signals_of_the_process()
    return _signals(environ.get(_SIGNAL_OPT_IN, ""))


@functools.cache
def _signals_of_the_process() -> tuple[bool, bool]:
    return _signals(os.environ.get(_SIGNAL_OPT_IN, ""))


@functools.lru_cache(maxsize=8)
def _signals(value: str) -> tuple[bool, bool]:
    asked = {part.strip() for part in value.split(",")} - {""}
    if "logs/dup" in asked:
        return True, True
    if "logs" in asked:
        return False, True
    if asked:
        _logger.warning(
            "%s is %r; everylayer knows logs and logs/dup, and writes span events as if it were "
            "unset",
            _SIGNAL_OPT_IN,
            value,
        )
    return True, False


def forget() -> None:
    """Read the variable anew."""
    _signals_of_the_process.cache_clear()
