"""The examples as a user meets them: their folder on the path, each Django in its own process."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))

for needed in ("asgi_correlation_id", "corsheaders", "flask_cors", "rich", "whitenoise"):
    pytest.importorskip(needed, reason=f"{needed} of the dependency group 'demo' is not installed")


@pytest.fixture
def examples() -> Path:
    """Return the folder of the examples."""
    return EXAMPLES
