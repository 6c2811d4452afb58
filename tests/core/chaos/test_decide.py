"""Who fails follows from rule and trace id alone."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from everylayer.chaos import Rule
from everylayer.chaos.decide import applies, place_for

TRACES = [f"{random.Random(seed).getrandbits(128):032x}" for seed in range(2_000)]


def failing(rule: Rule, seed: str = "", places: int = 1) -> dict[str, int]:
    found = {trace: place_for(rule, seed, trace, places) for trace in TRACES}
    return {trace: index for trace, index in found.items() if index is not None}


def test_the_same_trace_fares_alike_wherever_it_is_asked() -> None:
    rule = Rule(probability=0.3)
    assert failing(rule, places=5) == failing(Rule(probability=0.3), places=5)
    # Also in another process, and in another version: the figure is part of the promise.
    assert place_for(Rule(probability=0.5), "", "4bf92f3577b34da6a3ce929d0e0e4736", 9) == 1


@pytest.mark.parametrize("probability", [0.0, 0.01, 0.3, 1.0])
def test_the_share_is_that_of_the_rule(probability: float) -> None:
    share = len(failing(Rule(probability=probability))) / len(TRACES)
    assert abs(share - probability) < 0.03
    assert probability not in (0.0, 1.0) or share == probability


def test_with_a_higher_probability_those_that_failed_fail_still_and_there() -> None:
    few = failing(Rule(probability=0.1), places=4)
    many = failing(Rule(probability=0.5), places=4)
    assert few.items() < many.items()


def test_each_place_has_its_turn() -> None:
    counted = Counter(failing(Rule(), places=4).values())
    assert set(counted) == {0, 1, 2, 3}
    assert min(counted.values()) > len(TRACES) / 4 * 0.8


def test_rules_and_seeds_differ() -> None:
    first = failing(Rule(probability=0.3))
    assert failing(Rule(probability=0.3), seed="tuesday") != first
    assert failing(Rule("*Auth*", probability=0.3)) != first
    assert failing(Rule(error="KeyError", probability=0.3)) != first


def test_a_prefix_and_a_modulus_choose_traces() -> None:
    assert set(failing(Rule(trace_id="a"))) == {t for t in TRACES if t.startswith("a")}
    wanted = {t for t in TRACES if int(t, 16) % 10 == 3}
    assert set(failing(Rule(modulus=(10, 3)))) == wanted
    both = Rule(trace_id="a", modulus=(2, 0))
    assert all(applies(both, t) is (t[0] == "a" and int(t, 16) % 2 == 0) for t in TRACES)


def test_no_place_no_fault() -> None:
    assert place_for(Rule(), "", TRACES[0], 0) is None
