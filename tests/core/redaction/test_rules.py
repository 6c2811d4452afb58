"""What is found, what is left alone, and how long it takes."""

from __future__ import annotations

import json
import random
import re
import string
from collections.abc import Iterator
from time import process_time

import pytest
from corpus import CARDS, LOOK_ALIKES, SECRETS

from everylayer import Redaction
from everylayer.redaction import patterns, rules

DEFAULT = Redaction()
STRICT = Redaction("strict")


def test_precision_and_recall(record_property: object, capsys: pytest.CaptureFixture[str]) -> None:
    leaked = [text for text, secret in SECRETS if secret in DEFAULT.redactor.redact(text)]
    wrong = [text for text in LOOK_ALIKES if DEFAULT.redactor.redact(text) != text]
    found = len(SECRETS) - len(leaked)
    recall, precision = found / len(SECRETS), found / (found + len(wrong))
    with capsys.disabled():
        print(f"\nredaction: recall {recall:.3f}, precision {precision:.3f}", leaked, wrong)
    assert recall == 1
    assert precision >= 0.98


def test_made_up_order_numbers_are_cards_as_seldom_as_check_digits_allow() -> None:
    chance = random.Random(1)
    numbers = ["".join(chance.choices(string.digits, k=16)) for _ in range(5000)]
    hit = sum(DEFAULT.redactor.redact(f"order {number}") != f"order {number}" for number in numbers)
    # A tenth has the check digit by chance, a third of these an issuer's prefix.
    assert 0.005 < hit / len(numbers) < 0.05


def test_hashes_and_uuids_hold_no_cards() -> None:
    chance = random.Random(2)
    for _ in range(3000):
        text = f"{chance.getrandbits(256):064x} {chance.getrandbits(128):032x}"
        assert list(patterns.cards(text)) == [], text


@pytest.mark.parametrize(
    "around", ["{}", "x={} ", "({})", "\n{}\n", "no.{}", '"{}"', "\ud800{}\udfff", "é{}ß"]
)
@pytest.mark.parametrize("number", CARDS)
def test_a_card_is_found_whatever_stands_around_it(number: str, around: str) -> None:
    text = around.format(number)
    for shown in (text, repr(text), repr(repr(text)), ascii(text)):
        assert number not in DEFAULT.redactor.redact(shown), shown


@pytest.mark.parametrize("gap", [" ", "-", ".", "\u00a0", "\u2009", "\u2011", "\ud800", "\u200b"])
def test_what_stands_between_groups_does_not_hide_a_card(gap: str) -> None:
    text = f"card {gap.join(['4111', '1111', '1111', '1111'])}!"
    assert DEFAULT.redactor.redact(text) == "card [card]!"
    data = text.encode("utf-8", "surrogatepass")
    for shown in (
        repr(text),
        ascii(text),
        json.dumps(text),
        repr(repr(text)),
        data.decode("utf-8", "replace"),
        repr(data),
    ):
        assert "1111" not in DEFAULT.redactor.redact(shown), shown


def test_what_follows_a_card_stays() -> None:
    text = "4111 1111 1111 1111 12/27 and 5555555555554444 100 EUR"
    assert DEFAULT.redactor.redact(text) == "[card] 12/27 and [card] 100 EUR"


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("us_ssn", "078-05-1120", "666-05-1120"),
        ("uk_nino", "AB 12 34 56 C", "GB 12 34 56 C"),
        ("es_dni", "12345678Z", "12345678A"),
        ("fr_nir", "1 89 05 49 588 157 23", "1 89 05 49 588 157 81"),
        ("it_cf", "RSSMRA85T10A562S", "RSSMRA85T10A562T"),
    ],
)
def test_national_ids_are_opt_in_and_checked(name: str, right: str, wrong: str) -> None:
    chosen = Redaction(national_ids=[name])
    assert chosen.redactor.redact(f"id {right}.") == f"id [{name}]."
    assert chosen.redactor.redact(f"id {wrong}.") == f"id {wrong}."
    assert [found.rule for found in DEFAULT.dry_run(f"id {right}.")] in ([], ["phone"])


def test_strict_finds_addresses_and_what_looks_random() -> None:
    text = "10.1.2.3 sent aZ3kQ9xW7vB2nM5tR8yU1pL4sD6f to 2001:db8:0:0::1"
    assert STRICT.redactor.redact(text) == "[ip] sent [opaque] to [ip]"
    assert DEFAULT.redactor.redact(text) == text


def test_two_rules_that_meet_leave_nothing_between_them() -> None:
    shown = DEFAULT.redactor.redact("password=jane@example.com4111111111111111")
    assert shown == "password=[secret]"


def test_source_lines_lose_literals_alone() -> None:
    line = '    login(password=password, token="hunt3r2", card=order.card)\n'
    assert DEFAULT.redactor.code(line) == line.replace("hunt3r2", "[secret]")


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
    for _ in range(8):
        yield "", "".join(chance.choices(ATOMS, k=chance.randint(2, 4)))
    for start in ("password=", 'token="', "eyJ", "://", "+1", "4", "-----END PRIVATE KEY-----"):
        for atom in ("a", "0", " ", "-", "\\", "4 "):
            yield start, atom


def test_hostile_texts_take_time_in_proportion_to_their_length() -> None:
    # All rules at once, as an error pays for them; one that takes its time is asked again.
    finders = [
        f for r in rules.built_in(rules.NAMES, ()) for f in (r.find, r.code) if f is not None
    ]
    slow = []
    for start, atom in hostile():
        small, large = (start + (atom * size)[:size] for size in (2500, 5000))
        for find in finders:
            if (taken := _time(find, large)) < 0.01:
                continue
            for _ in range(5):
                if taken < 3 * (before := _time(find, small)):
                    break
                taken = min(taken, _time(find, large))
            else:
                slow.append((start, atom, before, taken))
    assert slow == []


def _time(find: patterns.Finder, text: str) -> float:
    began = process_time()
    for _ in find(text):
        pass
    return process_time() - began


def test_the_signs_that_are_asked_for_first_leave_nothing_out() -> None:
    """The same corpus with every rule asked, whatever the signs say."""
    asked = Redaction(patterns={"own": "never-there-[0-9]"})
    for text in (*LOOK_ALIKES, *(text for text, _ in SECRETS)):
        plain = re.sub(r"\s+", " ", text)
        assert asked.redactor.redact(plain) == DEFAULT.redactor.redact(plain)
