"""A package whose framework is not there says so, and what to do."""

from __future__ import annotations

import subprocess
import sys

import pytest

IMPORT_WITHOUT = """
import sys
framework, package = sys.argv[1:]
sys.modules[framework] = None  # what an absent module looks like to `import`
try:
    __import__(package)
except ImportError as exc:
    print(exc)
"""


@pytest.mark.parametrize("framework", ["aiohttp", "django", "flask", "litestar", "starlette"])
def test_the_remedy_is_named(framework: str) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", IMPORT_WITHOUT, framework, f"everylayer_{framework}"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert answer.returncode == 0, answer.stderr
    assert f"everylayer_{framework} needs {framework}" in answer.stdout.replace(
        framework.capitalize(), framework
    )
    assert f"pip install '{framework}>=" in answer.stdout
