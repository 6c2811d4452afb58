"""Names before values are looked for by word, or at each character where one holds more: alike."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from everylayer.redaction import pairs

# A name that no text here holds, and that is no word: with it each character is looked at.
_NO_WORD = r"not\.there"
# Letters that are the same as an ASCII one where case does not count.
_LONG_S, _KELVIN, _DOTLESS_I = "\u017f", "\u212a", "\u0131"
_NAMES = [
    "password", "Secret", "TOKEN", "access_token", "api-key", "Authorization", "set-cookie", "pin",
    "x-api-key", "session_id", "pan", "iban", "kunden_nummer", "KundenNummer", "straße", "STRASSE",
    f"pa{_LONG_S}s", f"to{_KELVIN}en", f"p{_DOTLESS_I}n", "_hash", "-b64", "12", "data", "x1y2",
    "none", "expired", "é", "日本", "_", "-",
]  # fmt: skip
_SIGNS = [
    "=", ":=", "=>", "==", ":", '"', "'", "`", "\\", "\\\\", "\\\\\\\\\\", ",", ", ", "]", "[", "{",
    "(", "b", "B", "r", "&", ";", "<", " ", "\t", "     ", "\n",
]  # fmt: skip
_texts = st.lists(
    st.one_of(st.sampled_from(_NAMES), st.sampled_from(_SIGNS), st.text(max_size=3)), max_size=25
).map("".join)


@pytest.mark.parametrize("more", [pairs.FINANCE, ("Kunden[_-]?Nummer", "straße")])
def test_both_ways_find_the_same(more: tuple[str, ...]) -> None:
    by_word = [pairs.finder(more, literals_only=only) for only in (False, True)]
    by_character = [pairs.finder((*more, _NO_WORD), literals_only=only) for only in (False, True)]
    found = 0

    @settings(max_examples=80, deadline=None)
    @example("token=abc;tokenpin=1234&pin:5678")
    @example("password='x1y2'token='z3'auth=\"q4\"")
    @example(f"Authorization: Basic abc\npa{_LONG_S}sword=x1y2 to{_KELVIN}en: 'a1b2c3'")
    @given(_texts)
    def agree(text: str) -> None:
        nonlocal found
        for one, other in zip(by_word, by_character, strict=True):
            spans = list(one(text))
            assert spans == list(other(text))
            found += len(spans)

    agree()
    assert found >= 4
