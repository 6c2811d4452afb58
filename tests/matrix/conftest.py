"""What runs within a row is made of plain modules, beside the tables."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).with_name("inside")))
