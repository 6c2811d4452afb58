"""Nothing sensitive leaves: what every text of an error passes before any sink sees it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import guard as guard
    from .annotated import Sensitive
    from .exporting import RedactingLogRecordExporter, RedactingSpanExporter
    from .keys import KeyProvider, Keys, TokenError, from_environment, from_file
    from .policy import Redaction
    from .redactor import Finding, Redactor
    from .revealing import RevealError, reveal
    from .values import sensitive

# Loaded by whoever uses them: an app that only imports everylayer has no policy yet.
_LAZY = {
    "Finding": ".redactor",
    "KeyProvider": ".keys",
    "Keys": ".keys",
    "RedactingLogRecordExporter": ".exporting",
    "RedactingSpanExporter": ".exporting",
    "Redaction": ".policy",
    "Redactor": ".redactor",
    "RevealError": ".revealing",
    "Sensitive": ".annotated",
    "TokenError": ".keys",
    "from_environment": ".keys",
    "from_file": ".keys",
    "reveal": ".revealing",
    "sensitive": ".values",
}

__all__ = [
    "Finding",
    "KeyProvider",
    "Keys",
    "RedactingLogRecordExporter",
    "RedactingSpanExporter",
    "Redaction",
    "Redactor",
    "RevealError",
    "Sensitive",
    "TokenError",
    "from_environment",
    "from_file",
    "reveal",
    "sensitive",
]


def __getattr__(name: str) -> Any:
    if name == "guard":
        # For what each error passes: an attribute of this package once it is loaded.
        return import_module(".guard", __name__)
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_LAZY[name], __name__), name)
    return found
