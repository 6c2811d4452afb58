"""What the pytest plugin gives to tests; `error_spans` and `everylayer_audit` are made of it."""

from __future__ import annotations

from .audits import Audited
from .recorded import Recorded
from .spans import ErrorSpans

__all__ = ["Audited", "ErrorSpans", "Recorded"]
