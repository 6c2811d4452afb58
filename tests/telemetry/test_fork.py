"""A fork while other threads are inside our critical sections leaves the child no lock behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")


def test_a_request_forks_while_another_thread_holds_our_locks() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(Path(__file__).with_name("run_fork.py"))],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = sorted(
        (json.loads(line) for line in done.stdout.splitlines()), key=lambda x: x["child"]
    )
    assert [line["child"] for line in lines] == [False, True]
    for line in lines:
        assert line["status"] == 500
        assert line["errors"] == ["after the fork"]
        assert line["failures"] == 1
