"""A saved report, read again."""

from __future__ import annotations

from typing import Any

from ..decode import DecodeError, decode
from ..model import SCHEMA, Report
from .limits import UnreadableError


def is_report(value: object) -> bool:
    """Tell whether a JSON value means to be a Report."""
    return isinstance(value, dict) and {"schema", "target", "chain"} <= value.keys()


def report_of(value: dict[str, Any]) -> Report:
    """Return the report that `value` was made of; unknown fields are left out.

    Raises:
        UnreadableError: it is none of ours, or a later version's.
    """
    schema = value.get("schema")
    if schema != SCHEMA:
        raise UnreadableError(f"its schema is {schema!r:.20}, and this version reads {SCHEMA}")
    try:
        return decode(Report, value, "report")
    except DecodeError as error:
        raise UnreadableError(str(error)) from None
