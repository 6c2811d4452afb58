from __future__ import annotations

import sys
from pathlib import Path

# The corpus is shared by the modules here.
sys.path.insert(0, str(Path(__file__).parent))
