"""Lets the tests of the pages import what runs them."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

# What pages take as given, a conftest.py of their own included, is theirs alone.
collect_ignore = ["given"]

# What a page shows is what its reader gets: the newest versions, on a new Python.
if sys.version_info < (3, 12):
    collect_ignore += ["test_runner.py", "test_snippets.py", "test_snippets_start.py"]
