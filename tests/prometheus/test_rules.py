"""Recording rules and alerts, by the real promtool: each with series that fire and that do not."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from prometheus_rules import FOLDER, RULES, TESTS, names, shortened

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not there: apt-get install prometheus"
)


def promtool(*args: str) -> str:
    """Run promtool; fail with what it says."""
    done = subprocess.run(
        ["promtool", *args], cwd=FOLDER, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_promtool
def test_the_rules_hold_for_their_series() -> None:
    promtool("check", "rules", "--lint=all", "--lint-fatal", RULES.name)
    promtool("test", "rules", TESTS.name)


@needs_promtool
def test_the_short_copy_is_made_of_the_same_rules(tmp_path: Path) -> None:
    copy = tmp_path / "short.rules.yml"
    copy.write_text(shortened(), encoding="utf-8")
    count = len(names("record")) + len(names("alert"))
    assert f"{count} rules found" in promtool("check", "rules", str(copy))
    assert not re.search(r"\[\d+[mhd]\]", shortened())


@pytest.mark.parametrize("name", names("alert"))
def test_each_alert_is_seen_to_fire_and_not_to(name: str) -> None:
    tested = TESTS.read_text(encoding="utf-8")
    expected = re.findall(rf"alertname: {name}\n +exp_alerts:( \[\])?", tested)
    assert " []" in expected, "it is seen to stay silent"
    assert "" in expected, "it is seen to fire"


@pytest.mark.parametrize("name", names("record"))
def test_each_record_is_compared_with_numbers(name: str) -> None:
    expressions = re.findall(r"expr: (.*)\n", TESTS.read_text(encoding="utf-8"))
    assert any(re.match(rf"{name}(?![\w:])", each) for each in expressions)
