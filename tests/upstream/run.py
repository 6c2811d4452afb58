"""One run of one suite in a process of its own, and a pair of them."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .compare import Difference, Results, differences, read
from .suites import Suite

INSIDE = Path(__file__).with_name("inside")
SECONDS = 600
_PR_CAPBSET_DROP = 24
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1, 2


@dataclass(frozen=True)
class Arm:
    """One run: results by test, and what was counted within it.

    Attributes:
        counts: of `inside/upstream_arm.py`.
        seconds: how long it took.
    """

    results: Results
    counts: dict[str, Any]
    seconds: float


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


def run_pair(suite: Suite, version: str, home: Path, out: Path) -> Pair:
    """Run `suite`, unpacked at `home`, in both arms.

    A test that differs for no reason known is run once more, alone.
    """
    plain, ours = _both(suite, home, out, ())
    differing, flaky = [], []
    for difference in differences(plain.results, ours.results):
        if difference.test in suite.known or _differs_alone(suite, home, out, difference.test):
            differing.append(difference)
        else:
            flaky.append(difference.test)
    return Pair(suite, version, plain, ours, differing, flaky)


def _differs_alone(suite: Suite, home: Path, out: Path, test: str) -> bool:
    plain, ours = _both(suite, home, out, (test,))
    return not plain.results or bool(differences(plain.results, ours.results))


def _both(suite: Suite, home: Path, out: Path, tests: Sequence[str]) -> tuple[Arm, Arm]:
    return _run(suite, "", home, out, tests), _run(suite, suite.switch, home, out, tests)


def _run(suite: Suite, switch: str, home: Path, out: Path, tests: Sequence[str]) -> Arm:
    name = f"{suite.distribution}-{'ours' if switch else 'plain'}{'-again' if tests else ''}"
    results, counts = out / f"{name}.jsonl", out / f"{name}.json"
    for file in (results, counts):
        file.unlink(missing_ok=True)
    env = {k: v for k, v in os.environ.items() if not k.startswith(("EVERYLAYER_", "OTEL_"))}
    env |= {
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONPATH": str(INSIDE),
        "UPSTREAM_COUNTS": str(counts),
        "UPSTREAM_RESULTS": str(results),
        "UPSTREAM_SWITCH": switch,
    }
    folder, command = _command(suite, home, tests)
    began = time.monotonic()
    with (out / f"{name}.log").open("w", encoding="utf-8") as log:
        subprocess.run(
            command,
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            timeout=SECONDS,
            check=False,
            preexec_fn=_without_file_capabilities,
        )
    seconds = time.monotonic() - began
    if not (results.exists() and counts.exists()):
        sys.exit(f"{name} did not run; its output is in {log.name}")
    found = read(results.read_text(encoding="utf-8").splitlines())
    return Arm(found, json.loads(counts.read_text(encoding="utf-8")), seconds)


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
