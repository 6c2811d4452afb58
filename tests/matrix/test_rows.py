"""The rows that are run, and the page made of what became of them."""

from __future__ import annotations

from typing import Any

from packaging.requirements import Requirement

from . import report
from .axes import AXES, FRAMEWORKS, PINNED, Row, fits, lowest, rows
from .run import Result

PYTHONS = ("3.10", "3.11", "3.12", "3.13")


def test_every_version_is_in_a_row() -> None:
    asked = {line for row in rows(PYTHONS) for line in row.requirements}
    for version in ("4.2", "5.2", "6"):
        assert f"django~={version}.0" in asked
    for name in ("starlette", "aiohttp", "litestar"):
        for version in AXES[name][:-1]:
            assert f"{name}=={version}" in asked
    assert {row.python for row in rows(PYTHONS)} == set(PYTHONS)
    assert rows(PYTHONS)[-1].name == "highest"


def test_what_does_not_go_together() -> None:
    assert not fits({"python": "3.11", "django": "6"})
    assert fits({"python": "3.12", "django": "6"})
    assert not fits({"python": "3.14", "aiohttp": "3.11.0"})
    assert not fits({"fastapi": "newest", "opentelemetry": "1.39.0"})
    assert all(fits({"fastapi": f, "starlette": s}) for f, kept in PINNED.items() for s in kept)
    assert not fits({"fastapi": "0.110.1", "starlette": "newest"})


def test_the_lowest_rows_hold_one_framework_at_the_least_it_declares() -> None:
    for row, framework in zip(lowest("3.10"), FRAMEWORKS, strict=True):
        assert row.frameworks == (framework,)
        pins = [line for line in row.requirements if line.startswith(f"{framework}==")]
        assert len(pins) == 1
        others = {*FRAMEWORKS} - {framework}
        names = {Requirement(line).name for line in row.requirements}
        assert not others & names


def found(**differing: Any) -> dict[str, Any]:
    return {
        "tried": 3,
        "failing": 2,
        "stock_lost": ["view"],
        "ours_lost": {},
        "unwanted": {},
        "changed": {},
        "warnings": [],
        "own_failures": {},
        "versions": {"flask": "3.1.3", "opentelemetry-sdk": "1.45.1"},
        **differing,
    }


GOOD = Result(Row("pairs", "3.13", ("flask",), ("flask",)), {"flask": found()})


def page(*results: Result, absent: tuple[str, ...] = ()) -> str:
    return report.write(results, absent)


def test_a_row_shows_versions_and_counts() -> None:
    line = next(line for line in page(GOOD).splitlines() if line.startswith("| pairs"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells == [
        *("pairs", "3.13", "-", "3.1.3", "-", "-", "-", "-", "-", "1.45.1", "-"),
        *("-", "1 of 2", "-", "-", "-", "0", "0", "0"),
    ]
    assert list(GOOD.complaints()) == []
    assert "What went wrong" not in page(GOOD)


def test_each_thing_that_must_not_be_is_named() -> None:
    for key in ("ours_lost", "unwanted", "changed", "own_failures"):
        bad = Result(GOOD.row, {"flask": found(**{key: {"the case": ["how"]}})})
        (complaint,) = bad.complaints()
        assert "the case" in complaint
        assert "the case" in page(GOOD, bad)


def test_a_patch_left_out_is_quoted_but_no_failure() -> None:
    said = Result(GOOD.row, {"flask": found(warnings=["does not know flask.Flask.close"])})
    assert list(said.complaints()) == []
    assert "- does not know flask.Flask.close (" in page(said)


def test_a_broken_probe_is_a_failure() -> None:
    broken = Result(GOOD.row, broken={"flask": "ImportError: no such thing"})
    assert "no such thing" in next(broken.complaints())
    assert "| broken |" in page(broken)


def test_what_could_not_be_run_is_listed_with_the_reason() -> None:
    missing = Result(GOOD.row, reason="No matching distribution\nfound")
    text = page(GOOD, missing, absent=("3.14",))
    assert "- Python 3.14: no interpreter" in text
    assert "No matching distribution found" in text
    assert text.count("| pairs |") == 1
