"""The same settings without everylayer: what OpenTelemetry alone shows."""

from __future__ import annotations

from .settings import *  # noqa: F403
from .settings import MIDDLEWARE as WITH_EVERYLAYER

MIDDLEWARE = [path for path in WITH_EVERYLAYER if not path.startswith("everylayer")]
