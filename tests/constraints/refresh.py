"""Write latest.txt: the newest versions that resolve on each Python that is there.

`python -m nox -s constraints` runs it with every interpreter found on PATH.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

HEADER = "# The newest versions, for every session but `lowest`. Written by `nox -s constraints`.\n"
OURS = "everylayer"


def resolve(version: str, requirements: list[str]) -> dict[str, str]:
    """Return name -> version of everything that Python `version` would install, ours left out."""
    interpreter = shutil.which(f"python{version}") or sys.exit(f"python{version} is not on PATH")
    pip = [sys.executable, "-m", "pip", "--python", interpreter, "install", "--quiet"]
    options = ["--dry-run", "--ignore-installed", "--report", "-", *requirements]
    answer = subprocess.run([*pip, *options], check=True, stdout=subprocess.PIPE, text=True)
    found = (item["metadata"] for item in json.loads(answer.stdout)["install"])
    pins = {item["name"].lower().replace("_", "-"): item["version"] for item in found}
    return {name: pin for name, pin in pins.items() if not name.startswith(OURS)}


def lines(name: str, pins: list[tuple[str, str]]) -> list[str]:
    """Return the lines for one package from its (python, version) pairs, oldest Python first."""
    runs: list[tuple[str, str]] = []
    for python, pin in pins:
        if not runs or runs[-1][1] != pin:
            runs.append((python, pin))
    written = []
    for index, (python, pin) in enumerate(runs):
        bounds = []
        if index:
            bounds.append(f'python_version >= "{python}"')
        if index + 1 < len(runs):
            bounds.append(f'python_version < "{runs[index + 1][0]}"')
        written.append(f"{name}=={pin}" + (f"; {' and '.join(bounds)}" if bounds else ""))
    return written


def main(pythons: list[str], requirements: list[str]) -> None:
    """Resolve for each of `pythons` and write the merged pins."""
    found: dict[str, list[tuple[str, str]]] = {}
    for python in pythons:
        for name, pin in resolve(python, requirements).items():
            found.setdefault(name, []).append((python, pin))
    body = [line for name in sorted(found) for line in lines(name, found[name])]
    target = Path(__file__).with_name("latest.txt")
    target.write_text(HEADER + "\n".join(body) + "\n", encoding="utf-8")


if __name__ == "__main__":
    split = sys.argv.index("--")
    main(sys.argv[1:split], sys.argv[split + 1 :])
