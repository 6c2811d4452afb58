"""Only the API is installed: an app with everylayer serves as it does bare."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from kit_apps import FRAMEWORKS
from kit_faults import KINDS


def without_sdk(**environ: str) -> Any:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("run_without_sdk.py"))],
        env={**kept, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_no_app_notices_that_there_is_no_sdk() -> None:
    found = without_sdk()
    assert found == {
        "wrong": [],
        "served": len(FRAMEWORKS) * len(KINDS) * 2,
        "sdk": [],
        "failures": {},
    }


def test_no_app_notices_that_a_provider_is_asked_for_which_is_not_there() -> None:
    found = without_sdk(OTEL_PYTHON_TRACER_PROVIDER="sdk_tracer_provider")
    assert (found["wrong"], found["sdk"]) == ([], [])
    assert found["served"] == len(FRAMEWORKS) * len(KINDS)
