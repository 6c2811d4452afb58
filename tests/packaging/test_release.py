"""The workflows that check and publish: valid, pinned, and trusted with no more than they need."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

FOLDER = Path(__file__).parents[2] / ".github" / "workflows"
WORKFLOWS = sorted(FOLDER.glob("*.yml"))


def jobs(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))["jobs"]
    return found


def test_the_workflows_follow_their_schema() -> None:
    assert [path.name for path in WORKFLOWS] == ["check.yml", "release.yml"]
    command = ["check_jsonschema", "--builtin-schema", "vendor.github-workflows", *WORKFLOWS]
    done = subprocess.run(
        [sys.executable, "-m", *map(str, command)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_an_action_is_named_by_its_commit(path: Path) -> None:
    used = re.findall(r"uses: (\S+)(.*)", path.read_text(encoding="utf-8"))
    assert used
    for action, comment in used:
        if not action.startswith("./"):
            assert re.fullmatch(r"[\w/.-]+@[0-9a-f]{40}", action)
            assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), "which version that is"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_may_read_and_a_job_of_it_what_it_needs(path: Path) -> None:
    whole = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert whole["permissions"] == {"contents": "read"}
    asked = {
        name: job["permissions"] for name, job in whole["jobs"].items() if "permissions" in job
    }
    publishing = {"publish": {"id-token": "write"}, "announce": {"contents": "write"}}
    assert asked == (publishing if path.stem == "release" else {})
    assert "secrets." not in path.read_text(encoding="utf-8")


def test_nothing_is_published_that_was_not_checked_and_built_for_its_tag() -> None:
    release = jobs("release.yml")
    assert [name for name, job in release.items() if "environment" in job] == ["publish"]
    needs = {name: job.get("needs") for name, job in release.items()}
    assert needs == {"check": None, "build": "check", "publish": "build", "announce": "publish"}
    # The one that holds the identity runs no code of the repository's.
    assert all("run" not in step for step in release["publish"]["steps"])
    (build,) = [
        step["run"] for step in release["build"]["steps"] if "nox -s" in step.get("run", "")
    ]
    assert build.endswith('-- "$TAG"')
    assert [step["run"] for step in jobs("check.yml")["check"]["steps"] if "run" in step] == [
        ".ci/run"
    ]
