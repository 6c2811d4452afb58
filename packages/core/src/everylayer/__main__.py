"""The command `everylayer`, and `python -m everylayer`: what it needs is imported here first."""

from __future__ import annotations

import importlib.util
import sys

_NEEDED = ("click", "rich", "opentelemetry.sdk")


def main() -> None:
    """Run the command; exits with 0, 1 for something lost, 2 for what cannot be done."""
    if any(importlib.util.find_spec(name) is None for name in _NEEDED):
        sys.stderr.write("the command needs: pip install 'everylayer[audit]'\n")
        sys.exit(2)
    from .cli import run

    sys.exit(run())


if __name__ == "__main__":
    main()
