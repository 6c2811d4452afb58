"""What each helper costs where nothing fails: `python -m nox -s bench -- helpers`.

With `--instructions` as callgrind counts them, child processes included, in
one table. Else in time: threads and tasks (`benchmarks.boundaries`), processes
(`benchmarks.processes`) and tenants (`benchmarks.ids`), one after the other; each can be run by
itself as well.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from . import helper_instructions

# Module, its arguments, and those of a quick run.
PARTS: dict[str, tuple[list[str], list[str]]] = {
    "boundaries": (["--rounds", "31"], ["--rounds", "3"]),
    "processes": (["--calls", "2000"], ["--calls", "40"]),
    "ids": (["--rounds", "31"], ["--rounds", "3"]),
}


def main(arguments: list[str]) -> None:
    """Run the parts in processes of their own: what one has loaded costs the next nothing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.helpers", description=__doc__)
    parser.add_argument("--only", choices=sorted({*PARTS, *helper_instructions.PARTS}), nargs="+")
    parser.add_argument("--quick", action="store_true", help="a small sample of everything")
    parser.add_argument("--instructions", action="store_true", help="one table, by callgrind")
    parser.add_argument("--case", default="", help="a part of the names of those to count")
    options = parser.parse_args(arguments)
    if options.instructions:
        if helper_instructions.missing():
            sys.exit(helper_instructions.missing())
        for line in helper_instructions.table(
            options.only or list(helper_instructions.PARTS), options.case
        ):
            print(line, flush=True)
        return
    for name in options.only or list(PARTS):
        print(f"## {name}", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}", *PARTS[name][options.quick]]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
