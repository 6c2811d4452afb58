"""The package only says what Litestar calls things: what it needs else is in the core."""

from __future__ import annotations

from pathlib import Path

import everylayer_litestar
from code_size import lines_of_code


def test_all_that_serves_requests_takes_fewer_than_200_lines() -> None:
    folder = Path(everylayer_litestar.__file__).parent
    # The audit's part is loaded by the command alone.
    counts = {path.name: lines_of_code(path.read_text("utf-8")) for path in folder.glob("*.py")}
    assert len(counts) > 4
    assert sum(counts.values()) < 200, counts
