"""The checks are a plain module: pytest's importlib mode leaves it off the path."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
