"""What each helper costs where nothing fails: `python -m nox -s bench -- helpers`.

Threads and tasks (`benchmarks.boundaries`), processes (`benchmarks.processes`) and tenants
(`benchmarks.ids`), one after the other; each can be run by itself as well.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

# Module, its arguments, and those of a quick run.
PARTS: dict[str, tuple[list[str], list[str]]] = {
    "boundaries": (["--rounds", "31"], ["--rounds", "3"]),
    "processes": (["--calls", "2000"], ["--calls", "40"]),
    "ids": (["--rounds", "31"], ["--rounds", "3"]),
}


def main(arguments: list[str]) -> None:
    """Run the parts in processes of their own: what one has loaded costs the next nothing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.helpers", description=__doc__)
    parser.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS))
    parser.add_argument("--quick", action="store_true", help="a small sample of everything")
    parser.add_argument(
        "--instructions", action="store_true", help="threads and tasks as callgrind counts them"
    )
    options = parser.parse_args(arguments)
    for name in options.only:
        args = PARTS[name][options.quick]
        if options.instructions and name == "boundaries":
            args = ["--instructions"]
        print(f"## {name}", flush=True)
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *args], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
