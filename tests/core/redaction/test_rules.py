"""What is found, what is left alone, and how long it takes."""

from __future__ import annotations

import json
import random
import re
import string
from collections.abc import Callable

import pytest
from corpus import CARDS, LOOK_ALIKES, SECRETS

from everylayer import Redaction
from everylayer.redaction import patterns

DEFAULT = Redaction()
STRICT = Redaction("strict")


Property = Callable[[str, object], None]


def test_precision_and_recall(record_property: Property) -> None:
    leaked = [text for text, secret in SECRETS if secret in DEFAULT.redactor.redact(text)]
    wrong = [text for text in LOOK_ALIKES if DEFAULT.redactor.redact(text) != text]
    found = len(SECRETS) - len(leaked)
    recall, precision = found / len(SECRETS), found / (found + len(wrong))
    record_property(
        "measured",
        f"redaction: recall {recall:.3f} ({found} of {len(SECRETS)} secrets), precision "
        f"{precision:.3f} ({len(wrong)} of {len(LOOK_ALIKES)} look-alikes taken for one)",
    )
    assert leaked == []
    assert precision >= 0.98, wrong


def test_made_up_numbers_are_cards_as_seldom_as_check_digits_allow(
    record_property: Property,
) -> None:
    chance = random.Random(1)
    shares = []
    for length in (13, 15, 16, 19):
        numbers = ["".join(chance.choices(string.digits, k=length)) for _ in range(3000)]
        hit = sum(any(patterns.cards(f"order {number}")) for number in numbers)
        shares.append(f"{hit / len(numbers):.1%} of {length} digits")
        # A tenth has the check digit by chance, a third of these an issuer's prefix.
        assert hit / len(numbers) < 0.05
    record_property("measured", f"redaction: made-up numbers taken for cards: {', '.join(shares)}")


def test_hashes_and_uuids_hold_no_cards() -> None:
    chance = random.Random(2)
    for _ in range(3000):
        text = f"{chance.getrandbits(256):064x} {chance.getrandbits(128):032x}"
        assert list(patterns.cards(text)) == [], text


def test_made_up_ids_hold_cards_as_seldom_as_chance_allows() -> None:
    chance = random.Random(4)
    spans = [f"{chance.getrandbits(64):016x}" for _ in range(20_000)]
    # Of these a few are digits alone.
    assert sum(any(patterns.cards(text)) for text in spans) <= 5
    for form in ("sha{:064x}", "0x{:040x}", "v1-g{:040x}", "{:040x}.js"):
        for _ in range(1000):
            text = form.format(chance.getrandbits(160))
            assert not any(patterns.cards(text)), text


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


def test_the_signs_that_are_asked_for_first_leave_nothing_out() -> None:
    """The same corpus with every rule asked, whatever the signs say."""
    asked = Redaction(patterns={"own": "never-there-[0-9]"})
    for text in (*LOOK_ALIKES, *(text for text, _ in SECRETS)):
        plain = re.sub(r"\s+", " ", text)
        assert asked.redactor.redact(plain) == DEFAULT.redactor.redact(plain)
