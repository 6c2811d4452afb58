"""A virtual environment a row, kept in build/matrix; one that is there is brought up to date."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from .axes import ALL, ROOT, Row

WORK = ROOT / "build" / "matrix"
OURS = ("core", *(f"{name}_ext" for name in ALL))
# What the tables of cases import besides their framework.
TOOLS = ("asgiref", "jinja2", "packaging", "pytest")
_SECONDS = 600


class Unavailable(Exception):
    """An environment that cannot be had, and why."""


def build_wheels() -> list[Path]:
    """Build our packages, and return their wheels."""
    wheels = WORK / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    sources = [f"{ROOT / 'packages' / name}" for name in OURS]
    _pip(sys.executable, "wheel", "--no-deps", "--wheel-dir", str(wheels), *sources)
    return sorted(wheels.glob("*.whl"))


def prepare(row: Row, wheels: Sequence[Path]) -> Path:
    """Return the interpreter of an environment that holds what `row` asks for.

    Raises:
        Unavailable: something has no wheel for this Python, or does not go with the rest.
    """
    interpreter = shutil.which(f"python{row.python}")
    if interpreter is None:
        raise Unavailable(f"python{row.python} is not on PATH")
    home = WORK / "environments" / _key(row)
    python = home / "bin" / "python"
    try:
        if python.exists():
            _pip(str(python), "uninstall", "--yes", *(_distribution(wheel) for wheel in wheels))
        else:
            _run([interpreter, "-m", "venv", "--without-pip", "--clear", str(home)])
        needed = [str(wheel) for wheel in wheels if _wanted(wheel, row)]
        install = ("install", "--only-binary", ":all:")
        newest = ("--upgrade", "--upgrade-strategy", "eager")
        _pip(str(python), *install, *newest, *needed, *row.requirements, *TOOLS)
        if row.unchecked:
            _pip(str(python), *install, "--no-deps", *row.unchecked)
    except Unavailable:
        # Half an environment must not pass for a whole one next time.
        shutil.rmtree(home, ignore_errors=True)
        raise
    return python


def _wanted(wheel: Path, row: Row) -> bool:
    part = _distribution(wheel).partition("-")[2]
    return not part or part in row.packages


def _distribution(wheel: Path) -> str:
    return wheel.name.partition("-")[0].replace("_", "-")


def _key(row: Row) -> str:
    asked = "\n".join([row.python, *row.requirements, *row.unchecked, *TOOLS])
    return f"{row.python}-{hashlib.sha256(asked.encode()).hexdigest()[:12]}"


def _pip(python: str, *arguments: str) -> None:
    _run([sys.executable, "-m", "pip", "--python", python, "--quiet", *arguments])


def _run(command: Sequence[str]) -> None:
    try:
        subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=_SECONDS, cwd=WORK
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"took more than {_SECONDS} s") from error
    except subprocess.CalledProcessError as error:
        said = [line.strip() for line in error.stderr.splitlines() if line.startswith("ERROR")]
        raise Unavailable(said[0] if said else error.stderr.strip()[-300:]) from error
