"""Ask pyright whether each public name has a type that every checker infers alike.

`pyright --verifytypes` counts all modules; what stands in a package's `__all__` is the promise.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from typing import Any


def symbols(package: str) -> list[dict[str, Any]]:
    """Return what pyright knows of each symbol of an installed package."""
    command = ["pyright", "--verifytypes", package, "--ignoreexternal", "--outputjson"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)["typeCompleteness"]
    if found.get("pyTypedPath") is None:
        raise SystemExit(f"{package} is not installed as a typed package")
    known: list[dict[str, Any]] = found["symbols"]
    return known


def unknown(package: str) -> list[str]:
    """Return a line for each public name, and each member of one, whose type is in doubt."""
    module = importlib.import_module(package)
    public = {f"{package}.{name}" for name in module.__all__}
    by_name = {symbol["name"]: symbol for symbol in symbols(package)}
    made = [getattr(module, name) for name in module.__all__]
    homes = {f"{one.__module__}.{one.__qualname__}" for one in made if hasattr(one, "__module__")}
    return [
        f"{name}: {said['message']}"
        for name, symbol in by_name.items()
        if name in public | homes or name.rpartition(".")[0] in homes
        if not symbol["isTypeKnown"] or symbol["isTypeAmbiguous"]
        for said in symbol["diagnostics"] or [{"message": "its type is not known in all parts"}]
    ]


def main(packages: list[str]) -> int:
    found = [line for package in packages for line in unknown(package)]
    print(*found, sep="\n")
    print(f"{len(packages)} packages: {len(found)} public names in doubt")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
