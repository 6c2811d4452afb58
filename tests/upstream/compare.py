"""What two runs of one suite have in common, test by test."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import NamedTuple

# The worst phase of a test is what became of it.
_WORST = ("failed", "xpassed", "skipped", "xfailed", "passed")
ABSENT = "absent"


class Result(NamedTuple):
    """What became of one test, and the text of its failure."""

    outcome: str
    text: str = ""


class Difference(NamedTuple):
    """A test that did not come out the same."""

    test: str
    plain: Result
    ours: Result


Results = Mapping[str, Result]


def read(lines: Iterable[str]) -> dict[str, Result]:
    """Return test -> result from lines of `[test, outcome, text]`, several a test."""
    found: dict[str, Result] = {}
    for line in lines:
        test, outcome, text = json.loads(line)
        known = found.get(test)
        if known is None or _WORST.index(outcome) < _WORST.index(known.outcome):
            found[test] = Result(outcome, text)
    return found


def differences(plain: Results, ours: Results) -> list[Difference]:
    """Return the tests with another outcome, and those that ran in one arm only."""
    absent = Result(ABSENT)
    pairs = [
        Difference(test, plain.get(test, absent), ours.get(test, absent))
        for test in sorted({*plain, *ours})
    ]
    return [pair for pair in pairs if pair.plain.outcome != pair.ours.outcome]


def count(results: Results, outcome: str) -> int:
    """Return how many tests came out like that."""
    return sum(result.outcome == outcome for result in results.values())


def failed_in_both(plain: Results, ours: Results) -> dict[str, str]:
    """Return test -> the last line of its failure."""
    return {
        test: last_line(result.text)
        for test, result in sorted(plain.items())
        if result.outcome == "failed" and test in ours and ours[test].outcome == "failed"
    }


def last_line(text: str) -> str:
    """Return the last line that says something; pytest's names the place and the type."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def unexplained(found: Iterable[Difference], known: Mapping[str, str]) -> list[str]:
    """Return a line for each difference without a reason, and each reason without one."""
    found = list(found)
    lines = [
        f"{test}: {plain.outcome} plain, {ours.outcome} with everylayer\n{ours.text or plain.text}"
        for test, plain, ours in found
        if test not in known
    ]
    gone = sorted({*known} - {difference.test for difference in found})
    return lines + [f"{test}: known as a difference, but it is none" for test in gone]
