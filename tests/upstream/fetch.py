"""Source distributions of what is installed, from the index that pip is set up with."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path, PurePosixPath

from .suites import Suite


def archive_of(distribution: str, folder: Path) -> Path:
    """Return where the source distribution of the installed version is, or will be."""
    name = distribution.replace("-", "_")
    return folder / f"{name}-{version(distribution)}.tar.gz"


def download(distributions: Iterable[str], folder: Path) -> None:
    """Put the source distributions that are not there yet into `folder`."""
    missing = [name for name in distributions if not archive_of(name, folder).exists()]
    if missing:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        options = ["--no-binary", ",".join(missing), "--dest", str(folder)]
        pins = [f"{name}=={version(name)}" for name in missing]
        subprocess.run([*pip, *options, *pins], check=True)


def unpack(suite: Suite, archives: Path, target: Path) -> Path:
    """Unpack what the suite takes, without the package itself: the installed one is tested."""
    archive = archive_of(suite.distribution, archives)
    top = archive.name.removesuffix(".tar.gz")
    with tarfile.open(archive) as tar:
        wanted = [
            member
            for member in tar.getmembers()
            if PurePosixPath(member.name).parts[1:2] and _taken(member.name, suite.take)
        ]
        tar.extractall(target, wanted, filter="data")
    home = target / top
    if not (home / "tests").is_dir():
        sys.exit(f"the source distribution {archive.name} has no tests")
    settings = home / "pyproject.toml"
    if not (settings.exists() and "[tool.pytest" in settings.read_text(encoding="utf-8")):
        # Or pytest would go on looking, up to our own.
        (home / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    return home


def _taken(name: str, take: tuple[str, ...]) -> bool:
    return PurePosixPath(name).parts[1] in take
