"""The examples as a user meets them: their folder on the path, each Django in its own process."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))


@pytest.fixture
def examples() -> Path:
    """Return the folder of the examples."""
    return EXAMPLES
