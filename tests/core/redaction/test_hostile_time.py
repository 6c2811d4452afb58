"""Texts made to be hard take time in proportion to their length, whichever rule looks at them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from time import process_time

import pytest

import everylayer
from everylayer.redaction import rules, user_patterns
from everylayer.redaction.redactor import MOST

SMALL, LARGE = 8_000, 16_000
# Below this the clock tells nothing; seconds.
_LEAST = 0.02
# Patterns as users write them, all of which are let in.
USERS = {
    "order": r"ORD-(?P<value>\d{6,12})",
    "loyalty": r"\bLC[ -]?[0-9]{4}[ -][0-9]{4}\b",
    "ticket": r"(?:https?://)?tickets\.example/[A-Za-z0-9_-]{8,64}",
    "words": r"(?i:customer|client)[ _-]?(?:no|id)[ .:=]{0,3}(?P<value>[\w-]{4,20})",
}

ATOMS = (
    'a', '0', '4', ' ', '-', '+', '@',
    '.', '://', ':', '=', '"', "'", '\\',
    'eyJ', 'eyJa.', 'password=', 'password="', "token: '", 'Bearer ', 'Basic ',
    '-----BEGIN PRIVATE KEY-----', 'a@b.cd', 'a@', '@a.', '://:a@', '://a:', '+1 ',
    '4 ', '411 ', 'DE89', 'DE89 ', 'sk-', 'SG.a.', 'xoxb-',
    'AKIA', 'key-', 'Q~', 'abcQ~', '1:', '::', '1.',
    'cookie: ', '\\\\"', '{', '[', ',a=', 'a-', '_',
    '\ud800', '\xe9', '\\x00', '\n',
)  # fmt: skip


def hostile() -> Iterator[tuple[str, str]]:
    for atom in ATOMS:
        yield "", atom
    chance = random.Random(3)
    for _ in range(24):
        yield "", "".join(chance.choices(ATOMS, k=chance.randint(2, 4)))
    for start in ("password=", 'token="', "eyJ", "://", "+1", "4", "-----END PRIVATE KEY-----"):
        for atom in ("a", "0", " ", "-", "\\", "4 ", "a ", '\\"'):
            yield start, atom
    for atom in ("ORD-", "ORD-1", "LC 0000 ", "tickets.example/", "customer ", "customer no"):
        yield "", atom


FINDERS = [
    *(
        pytest.param(find, id=f"{rule.name}{' of code' if find is rule.code else ''}")
        for rule in rules.built_in(rules.NAMES, (r"loyalty[_-]?code",))
        for find in (rule.find, rule.code)
        if find is not None
    ),
    *(pytest.param(user_patterns.compiled(name, own), id=name) for name, own in USERS.items()),
]


@pytest.mark.parametrize("find", FINDERS)
def test_a_rule_takes_time_in_proportion(find: Callable[[str], Iterator[tuple[int, int]]]) -> None:
    def look(text: str) -> None:
        for _ in find(text):
            pass

    assert _slow(look) == []


def test_all_rules_and_values_at_once_take_time_in_proportion() -> None:
    redactor = everylayer.Redaction("strict", patterns=USERS).redactor
    exact = {"espresso": "sensitive", "4 4 4": "sensitive", "a" * 100: "sensitive"}
    assert _slow(lambda text: redactor.bounded(text, 4096, exact)) == []


def test_the_ends_of_a_long_text_take_no_more_than_a_text_of_their_size() -> None:
    redactor = everylayer.Redaction().redactor

    def look(text: str) -> None:
        redactor.bounded(text, 4096)

    for start, atom in list(hostile())[::5]:
        whole = (start + atom * MOST)[: MOST - 1]
        long = (start + atom * (2_000_000 // len(atom) + 1))[:2_000_000]
        within, beyond = _time(look, whole), _time(look, long)
        if beyond > 0.2:
            beyond = min(beyond, _time(look, long))
        # Finding where to begin walks along the text as fast as it can be read.
        assert beyond < 3 * within + 0.2, (start, atom)


def _slow(look: Callable[[str], object]) -> list[tuple[str, str, float, float]]:
    slow = []
    for start, atom in hostile():
        small, large = ((start + atom * size)[:size] for size in (SMALL, LARGE))
        if (taken := _time(look, large)) < _LEAST:
            continue
        # Twice the text may take twice the time, and on a busy machine a little more.
        for _ in range(6):
            if taken < 3 * (before := _time(look, small)):
                break
            taken = min(taken, _time(look, large))
        else:
            slow.append((start, atom, before, taken))
    return slow


def _time(look: Callable[[str], object], text: str) -> float:
    began = process_time()
    look(text)
    return process_time() - began
