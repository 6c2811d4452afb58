"""The parameters of a log message: what the text around one says of it counts where it is alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...redaction import values
from ...redaction.guard import Redacting
from ...redaction.redactor import MOST
from .walk import Walk

PLACEHOLDER = re.compile(r"[\"']?(?:%(?:\([^)]*\))?[-#0-9 +.]*[a-zA-Z]|\{[^{}]*\})[\"']?")
# A shorter one is too likely to stand elsewhere by chance.
_LEAST = 3


def params_of(entry: Mapping[str, Any], redacting: Redacting) -> Walk:
    """Return the way for the parameters of `entry`, which knows what its text shows as secret."""
    params = entry["params"]
    text = entry.get("formatted")
    if not isinstance(text, str):
        try:
            text = str(entry.get("message")) % params
        except Exception:
            # Neither is it shown in any text.
            text = ""
    text = text[:MOST]
    secrets = {
        text[found.start : found.end]: found.kind
        for found in redacting.redactor.find(text, redacting.exact)
    }
    if not secrets:
        return Walk(redacting)
    known: dict[str, str] = {}
    for secret, kind in secrets.items():
        if len(secret) >= _LEAST:
            known.update(dict.fromkeys(values.texts(secret), kind))
    for param in params.values() if isinstance(params, Mapping) else params:
        shown = str(param)
        kinds = [kind for secret, kind in secrets.items() if shown in secret]
        if len(shown) >= _LEAST and kinds:
            known.update(dict.fromkeys(values.texts(shown), kinds[0]))
    return Walk(redacting.knowing(known))
