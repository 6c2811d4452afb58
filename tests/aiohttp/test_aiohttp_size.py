"""What the package proves: a framework takes fewer than 200 lines."""

from __future__ import annotations

from pathlib import Path

import everylayer_aiohttp
from code_size import lines_of_code


def test_all_that_serves_requests_takes_fewer_than_200_lines() -> None:
    folder = Path(everylayer_aiohttp.__file__).parent
    # The audit's part is loaded by the command alone.
    counts = {path.name: lines_of_code(path.read_text("utf-8")) for path in folder.glob("*.py")}
    assert len(counts) > 4
    assert sum(counts.values()) < 200, counts


def test_docs_and_comments_do_not_count() -> None:
    assert lines_of_code('"""Doc\n\ndoc."""\n\n# why\nx = 1\n\n\ndef f():\n    """Doc."""\n') == 2
