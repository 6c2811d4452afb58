"""The rows that are run, and the page made of what became of them."""

from __future__ import annotations

from typing import Any

import pytest
from packaging.requirements import Requirement

from . import report
from .__main__ import main
from .axes import ALL, AXES, FRAMEWORKS, NEWEST, OWN, PINNED, Row, fits, lowest, rows
from .run import Result

PYTHONS = ("3.10", "3.11", "3.12", "3.13")


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_every_version_of_a_framework_is_in_one_of_its_rows(framework: str) -> None:
    made = rows(framework, PYTHONS)
    asked = [Requirement(line) for row in made[:-1] for line in row.requirements]
    for axis in OWN[framework]:
        for version in AXES[axis]:
            specifiers = [""] if version == NEWEST else [f"=={version}", f"~={version}.0"]
            named = [r for r in asked if r.name == axis and str(r.specifier) in specifiers]
            assert named, f"{axis} {version}"
    assert {row.python for row in made} == {*PYTHONS}
    assert {row.framework for row in made} == {framework}
    assert (made[0].name, made[-1].name, made[-1].packages) == ("lowest", "together", ALL)


def test_what_does_not_go_together() -> None:
    assert not fits({"python": "3.11", "django": "6"})
    assert fits({"python": "3.12", "django": "6"})
    assert not fits({"python": "3.14", "aiohttp": "3.11.0"})
    assert not fits({"python": "3.13", "grpcio": "1.60.0"})
    assert fits({"python": "3.12", "grpcio": "1.60.0"})
    assert not fits({"fastapi": "newest", "opentelemetry": "1.39.0"})
    assert all(fits({"fastapi": f, "starlette": s}) for f, kept in PINNED.items() for s in kept)
    assert not fits({"fastapi": "0.110.1", "starlette": "newest"})


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_lowest_row_holds_one_framework_at_the_least_it_declares(framework: str) -> None:
    row = lowest(framework, "3.10")
    pins = [line for line in row.requirements if line.startswith(f"{OWN[framework][0]}==")]
    assert len(pins) == 1
    names = {Requirement(line).name for line in row.requirements}
    assert not ({*FRAMEWORKS} - {framework}) & names


def test_a_framework_that_is_not_there_is_refused() -> None:
    with pytest.raises(SystemExit):
        main(["bottle", "--pythons", "3.13"])


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


ROW = Row("pairs", "3.13", ("flask",), "flask", ("flask",))
GOOD = Result(ROW, found())


def page(*results: Result, absent: tuple[str, ...] = ()) -> str:
    return report.update("", "flask", results, absent)


def test_a_row_shows_versions_and_counts() -> None:
    line = next(line for line in page(GOOD).splitlines() if line.startswith("| pairs"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells == ["pairs", "3.13", "3.1.3", "-", "1.45.1", "-", "1 of 2", "0", "0", "0"]
    assert list(GOOD.complaints()) == []
    assert "| Flask | 2 | 4 | 2 (50.0%) | 0 |\n" in page(GOOD, GOOD)
    assert "What went wrong" not in page(GOOD)


def test_each_thing_that_must_not_be_is_named() -> None:
    for key in ("ours_lost", "unwanted", "changed", "own_failures"):
        bad = Result(ROW, found(**{key: {"the case": ["how"]}}))
        (complaint,) = bad.complaints()
        assert "the case" in complaint
        assert "the case" in page(GOOD, bad)


def test_a_patch_left_out_is_quoted_but_no_failure() -> None:
    said = Result(ROW, found(warnings=["does not know flask.Flask.close"]))
    assert list(said.complaints()) == []
    assert "- does not know flask.Flask.close (" in page(said)


def test_a_broken_probe_is_a_failure() -> None:
    broken = Result(ROW, broken="ImportError: no such thing")
    assert "no such thing" in next(broken.complaints())
    assert "| broken |" in page(GOOD, broken)


def test_what_could_not_be_run_is_listed_with_the_reason() -> None:
    missing = Result(ROW, reason="No matching distribution\nfound")
    text = page(GOOD, missing, absent=("3.14",))
    assert "- Python 3.14: no interpreter" in text
    assert "No matching distribution found" in text
    assert text.count("| pairs |") == 1
    assert "| Flask | 1 | 2 |" in text


def test_the_sections_that_were_not_run_stay_as_they_are() -> None:
    lost = Result(
        Row("pairs", "3.12", ("django",), "django", ("django",)),
        found(ours_lost={"the case": ["x"]}),
    )
    django = report.update("", "django", [lost, lost], ())
    both = report.update(django, "flask", [GOOD], ("3.14",))
    assert both.index("## Django") < both.index("## Flask") < both.index("## Not run")
    for line in django.splitlines():
        assert line in both.splitlines()

    again = report.update(both, "flask", [GOOD, GOOD], ("3.14",))
    assert again.count("| pairs | 3.13") == 2
    assert again.count("| pairs | 3.12") == both.count("| pairs | 3.12") == 2
    assert report.update(again, "flask", [GOOD], ("3.14",)) == both

    mended = report.update(both, "django", [Result(lost.row, found())], ())
    assert "the case" not in mended
    assert "| Flask | 1 | 2 | 1 (50.0%) | 0 |" in mended
    assert "no interpreter" not in mended
