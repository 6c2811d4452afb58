"""The comparison decides what a difference is: it must not lose one."""

from __future__ import annotations

import json

from .compare import (
    ABSENT,
    Difference,
    Result,
    count,
    differences,
    failed_in_both,
    read,
    unexplained,
)

PASSED, FAILED, SKIPPED = (
    Result("passed"),
    Result("failed", "\nx.py:3: KeyError\n"),
    Result("skipped"),
)


def lines(*reports: tuple[str, str, str]) -> list[str]:
    return [json.dumps(report) for report in reports]


def test_the_worst_report_of_a_test_counts() -> None:
    found = read(lines(("a", "passed", ""), ("a", "failed", "in tear-down"), ("b", "skipped", "")))
    assert found == {"a": Result("failed", "in tear-down"), "b": SKIPPED}
    assert read(lines(("a", "failed", "first"), ("a", "passed", ""))) == {
        "a": Result("failed", "first")
    }


def test_every_other_outcome_is_a_difference_also_a_better_one() -> None:
    plain = {"a": PASSED, "b": FAILED, "c": PASSED, "d": FAILED, "gone": PASSED}
    ours = {"a": FAILED, "b": PASSED, "c": SKIPPED, "d": FAILED, "new": PASSED}
    assert differences(plain, ours) == [
        Difference("a", PASSED, FAILED),
        Difference("b", FAILED, PASSED),
        Difference("c", PASSED, SKIPPED),
        Difference("gone", PASSED, Result(ABSENT)),
        Difference("new", Result(ABSENT), PASSED),
    ]


def test_what_fails_in_both_is_listed_with_its_last_line() -> None:
    plain = {"a": FAILED, "b": FAILED, "c": PASSED}
    assert failed_in_both(plain, {"a": FAILED, "b": PASSED, "c": FAILED}) == {
        "a": "x.py:3: KeyError"
    }
    assert count(plain, "failed") == 2


def test_a_difference_needs_a_reason_and_a_reason_a_difference() -> None:
    found = [Difference("a", PASSED, FAILED), Difference("b", PASSED, FAILED)]
    known = {"b": "on purpose", "c": "on purpose once"}
    first, second = unexplained(found, known)
    assert first.startswith("a: passed plain, failed with everylayer")
    assert "KeyError" in first
    assert second == "c: known as a difference, but it is none"
    assert unexplained(found[1:], {"b": "on purpose"}) == []
