"""The report for machines: versioned JSON, the same for the same findings."""

from __future__ import annotations

import json
from typing import Any

from ..model import Report, to_json
from .totals import totals


def render(report: Report) -> str:
    """Return `report` as JSON, with its totals under `summary`."""
    found: dict[str, Any] = to_json(report)
    # What a reader looks for first stands first.
    first = {"schema": found.pop("schema"), "summary": totals(report)}
    # ASCII: a lone surrogate in a message must not make the document invalid.
    return json.dumps({**first, **found}, indent=2, default=str) + "\n"
