"""Nothing sensitive leaves: what every text of an error passes before any sink sees it."""

from __future__ import annotations

from .annotated import Sensitive
from .keys import KeyProvider, Keys, from_environment, from_file
from .policy import Redaction
from .redactor import Finding, Redactor
from .reveal import RevealError, TokenError, reveal
from .values import sensitive

__all__ = [
    "Finding",
    "KeyProvider",
    "Keys",
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
