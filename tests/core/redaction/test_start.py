"""What the start of an app pays for redaction."""

from __future__ import annotations

import subprocess
import sys

_HEAVY = ("asyncio", "base64", "concurrent.futures", "email", "hashlib", "json", "pathlib", "ssl")
_CODE = f"""
import sys
before = set(sys.modules)
import everylayer
print(sorted(name for name in sys.modules if name.startswith("everylayer.redaction")))
everylayer.Settings()
print(sorted((set(sys.modules) - before) & set({_HEAVY})))
assert everylayer.sensitive is everylayer.redaction.sensitive
assert callable(everylayer.reveal)
assert callable(everylayer.redaction.reveal)
"""


def test_importing_loads_no_policy_and_a_policy_loads_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _CODE], capture_output=True, text=True, timeout=60, check=True
    )
    loaded, heavy = map(eval, done.stdout.splitlines())
    assert loaded == [
        "everylayer.redaction",
        "everylayer.redaction.earlier",
        "everylayer.redaction.values",
    ]
    assert heavy == []
