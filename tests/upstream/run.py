"""One run of one suite in a process of its own, and a pair of them."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .compare import Difference, Results, differences, read
from .suites import Suite

INSIDE = Path(__file__).with_name("inside")
SECONDS = 900
_PR_CAPBSET_DROP = 24
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1, 2


Homes = Mapping[str, Path]


@dataclass(frozen=True)
class Arm:
    """One run: results by test, and what was counted within it.

    Attributes:
        counts: of `inside/upstream_arm.py`.
    """

    results: Results
    counts: dict[str, Any]


@dataclass(frozen=True)
class Pair:
    """A suite, plain and with everylayer.

    Attributes:
        differing: tests that differ for a reason known, or also when run alone.
        flaky: tests that differed only the first time.
    """

    suite: Suite
    version: str
    plain: Arm
    ours: Arm
    differing: list[Difference]
    flaky: list[str]


def run_pair(suite: Suite, version: str, homes: Homes, out: Path) -> Pair:
    """Run `suite`, unpacked in a home for each arm, in both.

    A test that differs for no reason known is run once more, alone.
    """
    plain, ours = _both(suite, homes, out, ())
    differing, flaky = [], []
    for difference in differences(plain.results, ours.results):
        if difference.test in suite.known or _differs_alone(suite, homes, out, difference.test):
            differing.append(difference)
        else:
            flaky.append(difference.test)
    return Pair(suite, version, plain, ours, differing, flaky)


def _differs_alone(suite: Suite, homes: Homes, out: Path, test: str) -> bool:
    plain, ours = _both(suite, homes, out, (test,))
    return not plain.results or bool(differences(plain.results, ours.results))


def _both(suite: Suite, homes: Homes, out: Path, tests: Sequence[str]) -> tuple[Arm, Arm]:
    """Run both arms at once, each in a place of its own: some tests write files where they are."""
    plain, ours = (
        _Running(suite, name, switch, homes[name], out, tests)
        for name, switch in (("plain", ""), ("ours", suite.switch))
    )
    return plain.end(), ours.end()


class _Running:
    """One arm, started."""

    __slots__ = ("_counts", "_home", "_log", "_process", "_results")

    def __init__(
        self, suite: Suite, arm: str, switch: str, home: Path, out: Path, tests: Sequence[str]
    ) -> None:
        self._home = f"{home}{os.sep}"
        name = f"{suite.distribution}-{arm}{'-again' if tests else ''}"
        self._results, self._counts = out / f"{name}.jsonl", out / f"{name}.json"
        for file in (self._results, self._counts):
            file.unlink(missing_ok=True)
        env = {k: v for k, v in os.environ.items() if not k.startswith(("EVERYLAYER_", "OTEL_"))}
        env |= {
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONPATH": str(INSIDE),
            "UPSTREAM_COUNTS": str(self._counts),
            "UPSTREAM_RESULTS": str(self._results),
            "UPSTREAM_SWITCH": switch,
        }
        folder, command = _command(suite, home, tests)
        self._log = out / f"{name}.log"
        with self._log.open("w", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=_without_file_capabilities,
            )

    def end(self) -> Arm:
        """Wait for it, and read what it has left."""
        try:
            self._process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            sys.exit(f"stopped after {SECONDS} s; its output is in {self._log}")
        if not self._counts.exists():
            sys.exit(f"it did not run; its output is in {self._log}")
        counts = json.loads(self._counts.read_text(encoding="utf-8"))
        if not self._results.exists():
            return Arm({}, counts)
        # Some tests are named after files, and the arms have each their own.
        lines = self._results.read_text(encoding="utf-8").replace(self._home, "").splitlines()
        return Arm(read(lines), counts)


def _command(suite: Suite, home: Path, tests: Sequence[str]) -> tuple[Path, list[str]]:
    if suite.runner == "django":
        options = ["--settings=upstream_settings", "--parallel=1"]
        return home / "tests", [
            *(sys.executable, "runtests.py", *options),
            *(tests or suite.arguments),
        ]
    plugins = [*suite.plugins, "upstream_pytest", "no:cacheprovider"]
    named = [option for plugin in plugins for option in ("-p", plugin)]
    return home, [
        *(sys.executable, "-m", "pytest", "-q", "--continue-on-collection-errors"),
        *(*named, *suite.arguments, *(tests or ("tests",))),
    ]


def _without_file_capabilities() -> None:
    """Let file permissions hold for root too: some tests need a file that cannot be read."""
    if sys.platform == "linux" and os.geteuid() == 0:
        libc = ctypes.CDLL(None)
        for capability in (_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH):
            libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
